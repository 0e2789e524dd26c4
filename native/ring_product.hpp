// Products c[i][j] (+)= sum over k of a[i][k] * b[k][j] modulo 2^64 or 2^32, where every element is found by the sum of
// two offsets. Matrices with any strides, and convolutions with any window, are products of this kind: nothing is
// rearranged but the panel that is about to be multiplied, and an addend is added to it on the way.
//
// The blocks are those of Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (2008); the offset
// tables are those of Matthews, "High-performance tensor contraction without transposition" (2016).
#pragma once

#include "ring_kernels.hpp"

#include <vector>

namespace stead::ring {

// The offsets of the indices along one axis.
struct Axis {
    std::vector<Offset> offsets;
    Size neighbours = 0;  // how many indices stand directly behind their predecessor
    bool unit = false;    // all do

    // Must be called once when the offsets are complete.
    Axis &measure();
    static Axis strided(Size size, Offset stride);
    Size size() const { return offsets.size(); }
};

// Elements at outer.offsets[i] + depth.offsets[k]; for the result, rows and columns take these places.
template <class T>
struct Side {
    const T *data;
    const T *addend;  // or null
    const Axis *outer;
    const Axis *depth;
};

template <class T>
struct Product {
    Side<T> a;
    Side<T> b;
    T *c;
    const Axis *c_rows;
    const Axis *c_columns;
    bool accumulate;
};

// "avx512", "avx2" or "portable", if built and if this processor has it; null otherwise. An empty name: the fastest.
template <class T>
const Variant<T> *variant_named(const char *name);

// All products, on up to `threads` threads. No two of them write to the same element.
template <class T>
void multiply(const std::vector<Product<T>> &products, const Variant<T> &variant, Size threads);

// Runs task(0) to task(count - 1), each on a thread of its own as far as the system gives them. Tasks do not throw.
void run_tasks(Size count, void (*task)(void *context, Size index), void *context);

}  // namespace stead::ring
