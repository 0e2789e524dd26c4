// Arrays as the bindings of the bit kernels take them.
#pragma once

#include "bits_kernels.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

namespace stead::bits {

namespace nb = nanobind;

template <class T>
using Flat = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
// Rows of contiguous words.
template <class T>
using Plane = nb::ndarray<T, nb::ndim<2>, nb::device::cpu>;

inline void require(bool holds, const char *what) {
    if (!holds) throw std::invalid_argument(what);
}

template <class T>
Rows<T> rows_of(const Plane<T> &planes) {
    const bool neighbours = planes.size() == 0 || planes.shape(1) == 1 || planes.stride(1) == 1;
    require(neighbours, "the words of a plane are not neighbours");
    return {planes.data(), static_cast<Offset>(planes.stride(0))};
}

inline const Variant &chosen(const std::string &name) {
    const Variant *variant = variant_named(name.c_str());
    require(variant != nullptr, "this processor or this build has no such variant");
    return *variant;
}

// work(range) for the parts of [0, size), each but the last a multiple of `unit`, on up to `threads` threads; the
// caller has released the interpreter. `work` does not throw.
template <class Work>
void in_parts(Size size, Size unit, Size threads, Size worth_a_thread, const Work &work) {
    threads = std::min(threads, size / worth_a_thread + 1);
    if (threads <= 1) return work(Range{0, size});
    const Size step = ((size + threads - 1) / threads + unit - 1) / unit * unit;
    std::vector<std::thread> running;
    running.reserve(threads);
    for (Size begin = step; begin < size; begin += step) {
        const Range part{begin, std::min(begin + step, size)};
        try {
            running.emplace_back([&work, part] { work(part); });
        } catch (const std::system_error &) {
            work(part);
        }
    }
    work(Range{0, std::min(step, size)});
    for (std::thread &thread : running) thread.join();
}

// Adds the kernels of masked sharing to the module.
void bind_masked(nb::module_ &module);

// Below this many words, or values, a thread costs more than it gains.
inline constexpr Size kWordsWorthAThread = Size{1} << 12;
inline constexpr Size kValuesWorthAThread = Size{1} << 17;

}  // namespace stead::bits
