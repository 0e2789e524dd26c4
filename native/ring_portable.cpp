// Plain C++: what every processor runs, vectorised as far as the compiler's baseline goes.

#include "ring_loops.hpp"

namespace stead::ring {
namespace {

constexpr Size kRows = 4;
constexpr Size kLanes = 8;

template <class T>
void tile(const Tile<T> &job) {
    T sum[kRows][kLanes] = {};
    for (Size k = 0; k < job.depth; ++k) {
        const T *a = job.a + k * kRows;
        const T *b = job.b + k * kLanes;
        for (Size r = 0; r < kRows; ++r) {
            for (Size l = 0; l < kLanes; ++l) sum[r][l] += a[r] * b[l];
        }
    }
    for (Size r = 0; r < job.rows; ++r) {
        T *c = job.c + static_cast<Offset>(r) * job.row;
        for (Size l = 0; l < kLanes; ++l) c[l] = job.accumulate ? c[l] + sum[r][l] : sum[r][l];
    }
}

template <class T>
constexpr Variant<T> kVariant{"portable",    kRows,        kLanes,        1, tile<T>, nullptr,
                              pack_plain<T>, dot_plain<T>, axpy_plain<T>};

}  // namespace

template <>
const Variant<std::uint64_t> *portable() {
    return &kVariant<std::uint64_t>;
}

template <>
const Variant<std::uint32_t> *portable() {
    return &kVariant<std::uint32_t>;
}

}  // namespace stead::ring
