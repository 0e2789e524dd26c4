// Convolutions over Z_2^64 and Z_2^32 and both their gradients, as products (ring_product.hpp). What a caller passes must
// fit together; ring_module.cpp and stead.mpc.kernels.linear see to it.
#pragma once

#include "ring_product.hpp"

namespace stead::ring {

struct Pair {
    Offset y;
    Offset x;
};

// images (count, channels, *image), weights (outputs, channels / groups, *kernel), results (count, outputs, *places).
struct Geometry {
    Offset count;
    Offset channels;
    Offset outputs;
    Offset groups;
    Pair image;
    Pair kernel;
    Pair places;
    Pair stride;
    Pair padding;
    Pair dilation;
};

// Row-major data and what is added to it, or null.
template <class T>
struct Terms {
    const T *data;
    const T *addend;
};

template <class T>
struct Result {
    T *data;
    bool accumulate;
};

template <class T>
void convolve(const Geometry &geometry, Terms<T> images, Terms<T> weights, Result<T> results,
              const Variant<T> &variant, Size threads);

// The gradient of the images: what transposes `convolve` in them.
template <class T>
void input_gradient(const Geometry &geometry, Terms<T> results, Terms<T> weights, Result<T> images,
                    const Variant<T> &variant, Size threads);

// The gradient of the weights: what transposes `convolve` in them.
template <class T>
void weight_gradient(const Geometry &geometry, Terms<T> images, Terms<T> results, Result<T> weights,
                     const Variant<T> &variant, Size threads);

}  // namespace stead::ring
