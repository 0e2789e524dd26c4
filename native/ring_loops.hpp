// Loops that the compiler turns into vectors by itself, for each variant with that variant's flags: hence the unnamed
// namespace, against all custom for headers (see ring_kernels.hpp).
#pragma once

#include "ring_kernels.hpp"

namespace stead::ring {
namespace {

template <class T>
[[maybe_unused]] void pack_plain(const Packing<T> &job) {
    const auto place = [&](Size l, Size k) {
        const Offset at = job.lane[l] + job.depth[k];
        job.packed[k * job.width + l] = job.addend ? job.source[at] + job.addend[at] : job.source[at];
    };
    if (job.along_depth) {
        for (Size l = 0; l < job.lanes; ++l) {
            for (Size k = 0; k < job.depths; ++k) place(l, k);
        }
    } else {
        for (Size k = 0; k < job.depths; ++k) {
            for (Size l = 0; l < job.lanes; ++l) place(l, k);
        }
    }
    for (Size k = 0; k < job.depths; ++k) {
        for (Size l = job.lanes; l < job.width; ++l) job.packed[k * job.width + l] = 0;
    }
}

template <class T>
T dot_plain(Size size, const T *left, const T *right, const T *addend) {
    T sum = 0;
    if (addend) {
        for (Size k = 0; k < size; ++k) sum += left[k] * (right[k] + addend[k]);
    } else {
        for (Size k = 0; k < size; ++k) sum += left[k] * right[k];
    }
    return sum;
}

template <class T>
void axpy_plain(Size size, T scale, const T *row, const T *addend, T *__restrict sum) {
    if (addend) {
        for (Size l = 0; l < size; ++l) sum[l] += scale * (row[l] + addend[l]);
    } else {
        for (Size l = 0; l < size; ++l) sum[l] += scale * row[l];
    }
}

}  // namespace
}  // namespace stead::ring
