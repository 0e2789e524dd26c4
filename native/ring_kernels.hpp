// The innermost loops of products over Z_2^64 and Z_2^32, in one variant for each instruction set.
//
// Everything is unsigned, so wrapping around is what the language promises. A variant's file is compiled with its own
// flags: it uses nothing of the standard library and keeps its functions in an unnamed namespace, so that the linker
// can never take code for a newer processor into another file.
#pragma once

#include <cstddef>
#include <cstdint>

namespace stead::ring {

using Size = std::size_t;
using Offset = std::ptrdiff_t;

// Rows of a panel of the left operand and of a tile of the result, at most; columns likewise.
inline constexpr Size kMostRows = 8;
inline constexpr Size kMostColumns = 48;

// packed[k * width + l] = source[lane[l] + depth[k]] (+ addend at the same place) for l < lanes, and 0 up to width.
template <class T>
struct Packing {
    const T *source;
    const T *addend;  // or null
    const Offset *lane;
    Size lanes;
    Size width;  // a multiple of kMostRows in variants that have vectors
    const Offset *depth;
    Size depths;
    bool along_depth;  // neighbours in memory are neighbours in depth rather than in lane
    T *packed;
};

// c[r * row + l] (+)= sum over k of a[k * rows of a panel + r] * b[k * width of b + l].
template <class T>
struct Tile {
    Size depth;
    const T *a;
    const T *b;
    T *c;
    Offset row;
    Size rows;
    Size vectors;  // columns are vectors * lanes; in a thin tile, columns themselves
    bool accumulate;
};

template <class T>
struct Variant {
    const char *name;
    Size rows;     // of a panel of the left operand
    Size lanes;    // of a vector
    Size vectors;  // of a full panel of the right operand
    // The lanes and the rows of the result are contiguous.
    void (*tile)(const Tile<T> &);
    // For fewer columns than lanes, or null: the vectors lie along the rows, b is `lanes` wide, and c receives column
    // by column `rows` elements at the distance `row`. It never accumulates.
    void (*thin)(const Tile<T> &);
    void (*pack)(const Packing<T> &);
    // The sum of left[k] * (right[k] + addend[k]); addend may be null.
    T (*dot)(Size size, const T *left, const T *right, const T *addend);
    // sum[l] += scale * (row[l] + addend[l]); addend may be null.
    void (*axpy)(Size size, T scale, const T *row, const T *addend, T *sum);
};

// Null where the variant is not built; whether this processor can run it is asked elsewhere.
template <class T>
const Variant<T> *portable();
template <class T>
const Variant<T> *avx2();
template <class T>
const Variant<T> *avx512();

}  // namespace stead::ring
