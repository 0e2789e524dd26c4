// Packed bits and fixed-point numbers, in one variant for each instruction set.
//
// `planes` of some values hold bit j of value 64 * w + t as bit t of word [j, w]; their rows may lie apart. A variant's
// file is compiled with its own flags: it uses nothing of the standard library but its integer types, and keeps its
// functions in an unnamed namespace, so that the linker can never take code for a newer processor into another file.
#pragma once

#include <cstddef>
#include <cstdint>

namespace stead::bits {

using Size = std::size_t;
using Offset = std::ptrdiff_t;
using Word = std::uint64_t;

inline constexpr Size kWordBits = 64;
// Words of each plane that are transposed at a time: a cache line.
inline constexpr Size kGroup = 8;

constexpr Size words_of(Size values) { return (values + kWordBits - 1) / kWordBits; }

// Rows of words; row j begins at data + j * row.
template <class T>
struct Rows {
    T *data;
    Offset row;
    T *at(Size j) const { return data + static_cast<Offset>(j) * row; }
};

// Words [begin, end) of every plane, or values [begin, end).
struct Range {
    Size begin;
    Size end;
};

struct Variant {
    const char *name;
    // The low `width` bits of `size` values; padding bits are 0. The range counts words and begins at a multiple of kGroup.
    void (*to_planes)(const Word *values, Size size, Size width, Rows<Word> planes, Range words);
    // The values whose low bits these are; what lies above is 0.
    void (*from_planes)(Rows<const Word> planes, Size width, Word *values, Size size, Range words);
    // Bit t of word w as the value 64 * w + t, 0 or 1.
    void (*unpack)(const Word *plane, Word *values, Range values_range);

    // value * factor, rounded to the nearest integer, halves to even; false if one is no number or not below 2^62.
    bool (*encode64)(const double *values, double factor, Word *ring, Range range);
    bool (*encode32)(const float *values, double factor, Word *ring, Range range);
    // Each word, read as signed, times a power of two: rounded once.
    void (*decode64)(const Word *ring, double factor, double *values, Range range);
    void (*decode32)(const Word *ring, float factor, float *values, Range range);
    // Each word, read as signed, shifted right: the floor.
    void (*shift)(const Word *ring, int bits, Word *out, Range range);
};

// Null where the variant is not built; whether this processor can run it is asked elsewhere.
const Variant *portable();
const Variant *avx2();
const Variant *avx512();

// "avx512", "avx2" or "portable", if built and if this processor has it; null otherwise. An empty name: the fastest.
const Variant *variant_named(const char *name);

}  // namespace stead::bits
