// `stead._ring`: checks what it is given, lets the interpreter go, and calls the kernels.

#include "ring_convolution.hpp"
#include "ring_product.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace nb = nanobind;
using namespace nb::literals;

namespace stead::ring {
namespace {

template <class T>
using Matrices = nb::ndarray<const T, nb::ndim<3>, nb::device::cpu>;
template <class T>
using Products = nb::ndarray<T, nb::ndim<3>, nb::device::cpu>;
template <class T>
using Images = nb::ndarray<const T, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
template <class T>
using Written = nb::ndarray<T, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
// The variant's name (empty: the fastest), threads, accumulate.
using How = std::tuple<std::string, Size, bool>;
// Stride, padding and dilation, vertical and horizontal; groups.
using WindowNumbers = std::array<Offset, 7>;

constexpr Offset kMostNumber = Offset{1} << 31;
constexpr double kMostElements = 0x1p40;

void need(bool condition, const char *what) {
    if (!condition) throw std::invalid_argument(what);
}

template <class T>
const Variant<T> &chosen(const How &how) {
    const Variant<T> *variant = variant_named<T>(std::get<0>(how).c_str());
    if (variant == nullptr) throw std::invalid_argument("no such variant here: " + std::get<0>(how));
    return *variant;
}

template <class T, class Array>
const T *addend_of(const Array &array, const std::optional<Array> &addend) {
    if (!addend) return nullptr;
    for (Size axis = 0; axis < array.ndim(); ++axis) {
        need(addend->shape(axis) == array.shape(axis) &&
                 (array.shape(axis) < 2 || addend->stride(axis) == array.stride(axis)),
             "an addend has the shape and the strides of what it is added to");
    }
    return addend->data();
}

template <class T>
void matmul(std::pair<Matrices<T>, std::optional<Matrices<T>>> left,
            std::pair<Matrices<T>, std::optional<Matrices<T>>> right, Products<T> out, How how) {
    const auto &[a, add_a] = left;
    const auto &[b, add_b] = right;
    const Size batch = out.shape(0);
    need(a.shape(0) == batch && b.shape(0) == batch && a.shape(1) == out.shape(1) && b.shape(2) == out.shape(2) &&
             a.shape(2) == b.shape(1),
         "matmul: the shapes do not fit");
    const T *plus_a = addend_of<T>(a, add_a);
    const T *plus_b = addend_of<T>(b, add_b);
    const Variant<T> &variant = chosen<T>(how);
    if (out.size() == 0) return;
    const Axis rows = Axis::strided(a.shape(1), a.stride(1));
    const Axis left_depth = Axis::strided(a.shape(2), a.stride(2));
    const Axis right_depth = Axis::strided(b.shape(1), b.stride(1));
    const Axis columns = Axis::strided(b.shape(2), b.stride(2));
    const Axis out_rows = Axis::strided(out.shape(1), out.stride(1));
    const Axis out_columns = Axis::strided(out.shape(2), out.stride(2));
    std::vector<Product<T>> products;
    products.reserve(batch);
    for (Size i = 0; i < batch; ++i) {
        const Offset at_a = static_cast<Offset>(i) * a.stride(0);
        const Offset at_b = static_cast<Offset>(i) * b.stride(0);
        products.push_back({{a.data() + at_a, plus_a ? plus_a + at_a : nullptr, &rows, &left_depth},
                            {b.data() + at_b, plus_b ? plus_b + at_b : nullptr, &columns, &right_depth},
                            out.data() + static_cast<Offset>(i) * out.stride(0),
                            &out_rows,
                            &out_columns,
                            std::get<2>(how)});
    }
    nb::gil_scoped_release released;
    multiply(products, variant, std::get<1>(how));
}

template <class Array>
Pair plane_of(const Array &array) {
    return {static_cast<Offset>(array.shape(2)), static_cast<Offset>(array.shape(3))};
}

bool windows_fit(Offset image, Offset kernel, Offset places, Offset stride, Offset padding, Offset dilation) {
    const Offset room = image + 2 * padding - dilation * (kernel - 1) - 1;
    return room >= 0 && places == room / stride + 1;
}

// The three arrays of a convolution, whichever of them is computed.
template <class ImagesArray, class WeightsArray, class ResultsArray>
Geometry geometry_of(const ImagesArray &images, const WeightsArray &weights, const ResultsArray &results,
                     const WindowNumbers &numbers) {
    const auto [stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x, groups] = numbers;
    for (const Offset number : numbers) need(number >= 0 && number < kMostNumber, "a window's number is out of range");
    need(stride_y > 0 && stride_x > 0 && dilation_y > 0 && dilation_x > 0 && groups > 0,
         "stride, dilation and groups are 1 or more");
    const Geometry g{static_cast<Offset>(images.shape(0)),
                     static_cast<Offset>(images.shape(1)),
                     static_cast<Offset>(weights.shape(0)),
                     groups,
                     plane_of(images),
                     plane_of(weights),
                     plane_of(results),
                     {stride_y, stride_x},
                     {padding_y, padding_x},
                     {dilation_y, dilation_x}};
    need(g.channels % groups == 0 && g.outputs % groups == 0 &&
             static_cast<Offset>(weights.shape(1)) * groups == g.channels &&
             static_cast<Offset>(results.shape(0)) == g.count && static_cast<Offset>(results.shape(1)) == g.outputs,
         "images, weights, results and groups do not fit");
    for (const Offset number : {g.image.y, g.image.x, g.kernel.y, g.kernel.x}) {
        need(number > 0 && number < kMostNumber, "an image's or a window's side is out of range");
    }
    need(windows_fit(g.image.y, g.kernel.y, g.places.y, stride_y, padding_y, dilation_y) &&
             windows_fit(g.image.x, g.kernel.x, g.places.x, stride_x, padding_x, dilation_x),
         "the results are not the places of these windows");
    // No offset can overflow, and no copy with its margins is larger than any memory.
    const double tall = static_cast<double>(g.image.y + g.kernel.y * dilation_y) + 2.0 * padding_y + stride_y;
    const double wide = static_cast<double>(g.image.x + g.kernel.x * dilation_x) + 2.0 * padding_x + stride_x;
    need(tall * wide * static_cast<double>(std::max({g.channels, g.outputs, Offset{1}})) < kMostElements,
         "an image with its padding is too large");
    return g;
}

template <class T>
using WithAddend = std::pair<Images<T>, std::optional<Images<T>>>;

template <class T>
Terms<T> terms_of(const WithAddend<T> &array) {
    return {array.first.data(), addend_of<T>(array.first, array.second)};
}

template <class T>
void bind_convolve(WithAddend<T> images, WithAddend<T> weights, Written<T> out, WindowNumbers window, How how) {
    const Geometry g = geometry_of(images.first, weights.first, out, window);
    const Variant<T> &variant = chosen<T>(how);
    const Terms<T> left = terms_of<T>(images);
    const Terms<T> right = terms_of<T>(weights);
    const Result<T> result{out.data(), std::get<2>(how)};
    if (out.size() == 0) return;
    nb::gil_scoped_release released;
    convolve(g, left, right, result, variant, std::get<1>(how));
}

template <class T>
void bind_input_gradient(WithAddend<T> results, WithAddend<T> weights, Written<T> out, WindowNumbers window, How how) {
    const Geometry g = geometry_of(out, weights.first, results.first, window);
    const Variant<T> &variant = chosen<T>(how);
    const Terms<T> left = terms_of<T>(results);
    const Terms<T> right = terms_of<T>(weights);
    const Result<T> result{out.data(), std::get<2>(how)};
    if (out.size() == 0) return;
    nb::gil_scoped_release released;
    input_gradient(g, left, right, result, variant, std::get<1>(how));
}

template <class T>
void bind_weight_gradient(WithAddend<T> images, WithAddend<T> results, Written<T> out, WindowNumbers window, How how) {
    const Geometry g = geometry_of(images.first, out, results.first, window);
    const Variant<T> &variant = chosen<T>(how);
    const Terms<T> left = terms_of<T>(images);
    const Terms<T> right = terms_of<T>(results);
    const Result<T> result{out.data(), std::get<2>(how)};
    if (out.size() == 0) return;
    nb::gil_scoped_release released;
    weight_gradient(g, left, right, result, variant, std::get<1>(how));
}

std::vector<std::string> variants() {
    std::vector<std::string> names;
    for (const char *name : {"avx512", "avx2", "portable"}) {
        if (variant_named<std::uint64_t>(name) && variant_named<std::uint32_t>(name)) names.emplace_back(name);
    }
    return names;
}

template <class T>
void bind(nb::module_ &m) {
    m.def("matmul", &matmul<T>, "left"_a.noconvert(), "right"_a.noconvert(), "out"_a.noconvert(), "how"_a.noconvert());
    m.def("conv2d", &bind_convolve<T>, "images"_a.noconvert(), "weights"_a.noconvert(), "out"_a.noconvert(), "window"_a.noconvert(), "how"_a.noconvert());
    m.def("conv2d_input_grad", &bind_input_gradient<T>, "results"_a.noconvert(), "weights"_a.noconvert(), "out"_a.noconvert(), "window"_a.noconvert(), "how"_a.noconvert());
    m.def("conv2d_weight_grad", &bind_weight_gradient<T>, "images"_a.noconvert(), "results"_a.noconvert(), "out"_a.noconvert(), "window"_a.noconvert(), "how"_a.noconvert());
}

}  // namespace
}  // namespace stead::ring

NB_MODULE(_ring, m) {
    m.doc() = "Products and convolutions over Z_2^64 and Z_2^32: no policy, no I/O, no state.";
    m.def("variants", &stead::ring::variants, "The variants that run here, the fastest first.");
    m.def("variant", [] { return stead::ring::variants().front(); }, "The fastest variant that runs here.");
    stead::ring::bind<std::uint64_t>(m);
    stead::ring::bind<std::uint32_t>(m);
}
