// Discrete Gaussian and discrete Laplace candidates, decided by integer comparison.
//
// The meaning of a candidate, and of every symbol, is in src/stead/privacy/samplers.py; the NumPy reference there gives
// the same integers from the same words. This kernel decides what the first 64 bits of each uniform number decide,
// and stops at a candidate that they leave in doubt: the caller settles it in exact arithmetic and goes on behind it.
//
// exp(-gamma) is compared as a double within a band of 2^-40. For gamma <= 1 the error of gamma (three roundings), of
// the series (its remainder is below 2^-52) and of the uniform number (one rounding) is below 2^-48 together.

#include "samplers.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <tuple>
#include <utility>

namespace nb = nanobind;

namespace stead {
namespace {

static_assert(std::endian::native == std::endian::little, "words are little-endian");

constexpr double kBand = 0x1p-40;
constexpr int kTaylorDegree = 17;
constexpr int kGuideBits = 12;
constexpr std::size_t kGuideSize = std::size_t{1} << kGuideBits;

using Output = nb::ndarray<std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Thresholds = nb::ndarray<const std::uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Guide = nb::ndarray<const std::uint16_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

enum class Mode { kTable, kLaplace, kGaussian };
enum class Verdict { kAccept, kReject, kAsk };

struct Table {
    const std::uint64_t *thresholds;
    const std::uint16_t *guide;
    int low_bits;
    double rate;
};

struct Candidates {
    const std::uint8_t *bytes;
    std::size_t first;
    std::size_t end;
};

struct Progress {
    std::size_t wrote;
    std::size_t next;
    bool asks;
};

double exp_minus(double gamma) {
    double value = 1.0;
    for (int degree = kTaylorDegree; degree > 0; --degree) value = 1.0 - value * gamma / degree;
    return value;
}

// Whether `word / 2^64` lies below exp(-gamma); nearly always without evaluating it, since 1 - gamma <= exp(-gamma).
Verdict accepts(double gamma, std::uint64_t word) {
    const double uniform = static_cast<double>(word) * 0x1p-64;
    if (uniform < 1.0 - gamma - kBand) return Verdict::kAccept;
    if (!(gamma <= 1.0)) return Verdict::kAsk;
    const double distance = uniform - exp_minus(gamma);
    if (!(std::fabs(distance) > kBand)) return Verdict::kAsk;
    return distance < 0 ? Verdict::kAccept : Verdict::kReject;
}

template <Mode mode>
Progress fill(const Table &table, const Candidates &from, std::int64_t *out, std::size_t size) {
    constexpr std::size_t kWords = mode == Mode::kTable ? 2 : 3;
    const int low_bits = mode == Mode::kTable ? 0 : table.low_bits;
    const std::uint64_t mask = (std::uint64_t{1} << low_bits) - 1;
    std::size_t wrote = 0;
    std::size_t next = from.first;
    for (; next < from.end && wrote < size; ++next) {
        std::uint64_t words[kWords];
        std::memcpy(words, from.bytes + next * sizeof words, sizeof words);

        // The last threshold is 2^64 - 1, so that the scan ends.
        std::size_t x = table.guide[words[0] >> (64 - kGuideBits)];
        while (words[0] > table.thresholds[x]) ++x;
        if (words[0] == table.thresholds[x]) return {wrote, next, true};

        const std::int64_t sign = -static_cast<std::int64_t>(words[1] >> 63);
        std::int64_t magnitude = static_cast<std::int64_t>(x);
        if constexpr (mode != Mode::kTable) {
            const std::int64_t y = static_cast<std::int64_t>(words[1] >> (63 - low_bits) & mask);
            const std::int64_t start = magnitude << low_bits;
            magnitude = start + y;
            double gamma = static_cast<double>(y) * table.rate;
            if constexpr (mode == Mode::kGaussian) {
                gamma = static_cast<double>(y) * static_cast<double>(start + magnitude) * table.rate;
            }
            const Verdict verdict = accepts(gamma, words[2]);
            if (verdict == Verdict::kAsk) return {wrote, next, true};
            if (verdict == Verdict::kReject || (magnitude == 0 && sign != 0)) continue;
        }
        out[wrote++] = (magnitude ^ sign) - sign;
    }
    return {wrote, next, false};
}

Progress dispatch(int mode, const Table &table, const Candidates &from, std::int64_t *out, std::size_t size) {
    switch (static_cast<Mode>(mode)) {
        case Mode::kTable: return fill<Mode::kTable>(table, from, out, size);
        case Mode::kLaplace: return fill<Mode::kLaplace>(table, from, out, size);
        case Mode::kGaussian: return fill<Mode::kGaussian>(table, from, out, size);
    }
    throw std::invalid_argument("fill_discrete: unknown mode");
}

std::tuple<std::size_t, std::size_t, bool> fill_discrete(int mode, nb::bytes keystream, std::size_t first, Output out,
                                                         std::pair<Thresholds, Guide> table,
                                                         std::pair<int, double> block) {
    const auto &[thresholds, guide] = table;
    const auto [low_bits, rate] = block;
    const bool whole = mode == static_cast<int>(Mode::kTable);
    if (low_bits < 0 || low_bits > 40 || guide.size() != kGuideSize || thresholds.size() == 0 ||
        thresholds.data()[thresholds.size() - 1] != ~std::uint64_t{0}) {
        throw std::invalid_argument("fill_discrete: not a table");
    }
    for (std::size_t slot = 0; slot < kGuideSize; ++slot) {
        if (guide.data()[slot] >= thresholds.size()) throw std::invalid_argument("fill_discrete: not a guide");
    }
    const std::size_t size_bytes = 8 * (whole ? 2 : 3);
    const Candidates from{reinterpret_cast<const std::uint8_t *>(keystream.c_str()), first,
                          keystream.size() / size_bytes};
    const Table view{thresholds.data(), guide.data(), low_bits, rate};
    std::int64_t *target = out.data();
    const std::size_t size = out.size();
    Progress progress{};
    {
        nb::gil_scoped_release released;
        progress = dispatch(mode, view, from, target, size);
    }
    return {progress.wrote, progress.next, progress.asks};
}

}  // namespace

void bind_samplers(nb::module_ &module) {
    module.def("fill_discrete", &fill_discrete, nb::arg("mode"), nb::arg("keystream"), nb::arg("first"), nb::arg("out"),
               nb::arg("table"), nb::arg("block"),
               "Writes accepted candidates from `first` on into `out`; returns (wrote, next candidate, asks).");
}

}  // namespace stead
