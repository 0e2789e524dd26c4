// The binding of the bit and fixed-point kernels. What each computes is said in src/stead/mpc/kernels/.

#include "bits_aes.hpp"
#include "bits_arrays.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <optional>

namespace stead::bits {
namespace {

void bound_to_planes(Flat<const Word> values, Plane<Word> planes, Size threads, const std::string &name,
                     std::optional<Flat<const Word>> addend, bool invert) {
    const Variant &variant = chosen(name);
    const Rows<Word> target = rows_of(planes);
    const Size size = values.size(), width = planes.shape(0), words = planes.shape(1);
    require(words == words_of(size) && width <= kWordBits, "to_planes: the planes do not fit the values");
    require(!addend || addend->size() == size, "to_planes: the addend does not fit the values");
    const Packing job{values.data(), addend ? addend->data() : nullptr, size, width, invert ? ~Word{0} : 0, target};
    nb::gil_scoped_release released;
    in_parts(words, kGroup, threads, kWordsWorthAThread, [&](Range part) { variant.to_planes(job, part); });
}

void bound_from_planes(Plane<const Word> planes, Flat<Word> values, Size threads, const std::string &name) {
    const Variant &variant = chosen(name);
    const Rows<const Word> source = rows_of(planes);
    const Size size = values.size(), width = planes.shape(0), words = planes.shape(1);
    require(words == words_of(size) && width <= kWordBits, "from_planes: the planes do not fit the values");
    nb::gil_scoped_release released;
    in_parts(words, kGroup, threads, kWordsWorthAThread,
             [&](Range part) { variant.from_planes(source, width, values.data(), size, part); });
}

void bound_unpack(Flat<const Word> plane, Flat<Word> values, Size threads, const std::string &name) {
    const Variant &variant = chosen(name);
    require(plane.size() >= words_of(values.size()), "unpack: the plane is too short");
    nb::gil_scoped_release released;
    in_parts(values.size(), kWordBits, threads, kValuesWorthAThread,
             [&](Range part) { variant.unpack(plane.data(), values.data(), part); });
}

// A power of two: what is multiplied by it is not rounded.
double power(int exponent) {
    require(exponent >= -256 && exponent <= 256, "a scale is at most 256");
    double factor = 1.0;
    for (; exponent > 0; --exponent) factor *= 2.0;
    for (; exponent < 0; ++exponent) factor *= 0.5;
    return factor;
}

template <class T>
bool bound_encode(Flat<const T> values, int scale, Flat<Word> ring, Size threads, const std::string &name) {
    const Variant &variant = chosen(name);
    const double factor = power(scale);
    require(values.size() == ring.size(), "encode: the sizes differ");
    nb::gil_scoped_release released;
    std::atomic<bool> all{true};
    in_parts(values.size(), kWordBits, threads, kValuesWorthAThread, [&](Range part) {
        bool fits = true;
        if constexpr (std::is_same_v<T, double>) {
            fits = variant.encode64(values.data(), factor, ring.data(), part);
        } else {
            fits = variant.encode32(values.data(), factor, ring.data(), part);
        }
        if (!fits) all = false;
    });
    return all;
}

template <class T>
void bound_decode(Flat<const Word> ring, int scale, Flat<T> values, Size threads, const std::string &name) {
    const Variant &variant = chosen(name);
    require(values.size() == ring.size(), "decode: the sizes differ");
    require(sizeof(T) == sizeof(double) || (scale >= -60 && scale <= 126), "decode: float32 has no such scale");
    const T factor = static_cast<T>(power(-scale));
    nb::gil_scoped_release released;
    in_parts(values.size(), kWordBits, threads, kValuesWorthAThread, [&](Range part) {
        if constexpr (std::is_same_v<T, double>) {
            variant.decode64(ring.data(), factor, values.data(), part);
        } else {
            variant.decode32(ring.data(), factor, values.data(), part);
        }
    });
}

void bound_keystream(nb::bytes key, nb::bytes counter, Size skip, Flat<Word> out,
                     std::optional<Flat<const Word>> values, bool by_xor) {
    require(keystream_runs(), "keystream: this processor or this build has no VAES");
    require(key.size() == kKeyBytes && counter.size() == kCounterBytes && skip <= 1,
            "keystream: 32 and 16 bytes, skip 0 or 1");
    require(!values || values->size() == out.size(), "keystream: the sizes differ");
    const Keystream job{reinterpret_cast<const std::uint8_t *>(key.c_str()),
                        reinterpret_cast<const std::uint8_t *>(counter.c_str()),
                        skip,
                        !values ? Combine::kDraw : (by_xor ? Combine::kXor : Combine::kSubtract),
                        values ? values->data() : nullptr,
                        out.data(),
                        out.size()};
    nb::gil_scoped_release released;
    keystream(job);
}

}  // namespace
}  // namespace stead::bits

NB_MODULE(_bits, m) {
    using namespace stead::bits;
    namespace nb = nanobind;
    m.doc() = "Bit and fixed-point kernels of stead: no policy, no I/O, no state. Each has a NumPy reference.";
    // An array of another type is refused: a converted copy of one that is written to would be lost.
    const auto array = [](const char *name) { return nb::arg(name).noconvert(); };
    const auto threads = nb::arg("threads") = 1;
    const auto variant = nb::arg("variant") = "";
    m.def("variant", [] { return std::string(variant_named("")->name); }, "The variant that runs here.");
    m.def("variants", [] {
        nb::list names;
        for (const char *name : {"avx512", "avx2", "portable"}) {
            if (variant_named(name) != nullptr) names.append(name);
        }
        return names;
    }, "The variants that can run here.");
    m.def("to_planes", &bound_to_planes, array("values"), array("planes"), threads, variant,
          array("addend").none() = nb::none(), nb::arg("invert") = false);
    m.def("from_planes", &bound_from_planes, array("planes"), array("values"), threads, variant);
    m.def("unpack", &bound_unpack, array("plane"), array("values"), threads, variant);
    m.def("encode", &bound_encode<double>, array("values"), nb::arg("scale"), array("ring"), threads, variant);
    m.def("encode", &bound_encode<float>, array("values"), nb::arg("scale"), array("ring"), threads, variant);
    m.def("decode", &bound_decode<double>, array("ring"), nb::arg("scale"), array("values"), threads, variant);
    m.def("decode", &bound_decode<float>, array("ring"), nb::arg("scale"), array("values"), threads, variant);
    m.def("keystream_runs", &keystream_runs, "Whether this processor and this build have `keystream`.");
    m.def("keystream", &bound_keystream, nb::arg("key"), nb::arg("counter"), nb::arg("skip"), array("out"),
          array("values").none(), nb::arg("by_xor"));
    bind_masked(m);
}
