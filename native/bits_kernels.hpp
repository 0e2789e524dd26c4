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

// The low `width` bits of `size` values (plus an addend, if there is one), each by exclusive or with `flip`; padding
// bits are those of 0.
struct Packing {
    const Word *values;
    const Word *addend;  // or null
    Size size;
    Size width;
    Word flip;  // 0 or all ones
    Rows<Word> planes;
};

// x AND y of masked bits, as a part.
struct And {
    Size rows;
    Rows<const Word> mx, lx, my, ly, dealt;
    Rows<Word> out;
    bool first;
};

// The products of two or more bits of each group of `depth` (1 .. 4) rows: row `subset * groups + group` of `out`.
struct Products {
    Size groups;
    Size depth;
    Rows<const Word> bits;
    Rows<Word> out;
    bool combine;  // by exclusive or with what stands in `out`
};

// The first level of the carry tree; `borrow` or `equal` may be null.
struct Fold {
    Size groups;
    Size depth;  // 1 .. 4
    Rows<const Word> n, r, products;
    Rows<Word> borrow, equal;
    bool first;
    bool last;  // only the last position of each group is wanted: row `group`, else row `group * depth + position`
};

// Words of 2, 4 or 8 bytes, of which only the low bits count.
struct Truncation {
    const Word *m, *quotient, *u;
    const void *wrap;
    Word *out;
    int bits;  // 1 .. 62
    bool first;
};

// `rest` and `bit_rest` are parts of l and l_b l, or, where truncation comes along, of R and l_b R.
struct Selection {
    const Word *chosen;  // a plane
    const Word *m, *rest, *bit, *bit_rest, *u;
    const void *wrap, *bit_wrap;
    Word *out;
    int bits;
    bool first;
};

// What the dealer deals for a truncation or a selection: secrets minus what stands in their places. l = l1 + l2 is the
// value's mask, b = b1 xor b2 that of the bit.
struct Dealing {
    const Word *l1, *l2;
    const Word *b1, *b2;  // planes
    Word *quotient;       // floor(l / 2^bits); not without bits
    Word *bit;            // b
    Word *bit_rest;       // b times the quotient; without bits b l
    void *wrap;           // the top bit of l; not without bits
    void *bit_wrap;       // b times that; not without bits
    int bits;             // 0 .. 62
};

// The product of two masks of bits, x = x1 xor x2 and y = y1 xor y2, added to `out` by exclusive or.
struct MaskProduct {
    Size rows;
    Rows<const Word> x1, x2, y1, y2;
    Rows<Word> out;
};

// A function for each width of narrow words: 2, 4 and 8 bytes.
template <class Job>
struct ByWidth {
    void (*two)(const Job &, Range);
    void (*four)(const Job &, Range);
    void (*eight)(const Job &, Range);
};

struct Variant {
    const char *name;
    // The range counts words and begins at a multiple of kGroup.
    void (*to_planes)(const Packing &job, Range words);
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

    // Ranges of words.
    void (*masked_and)(const And &job, Range words);
    void (*subset_products)(const Products &job, Range words);
    void (*fold_groups)(const Fold &job, Range words);
    // Ranges of values; where bits are packed they begin at a word.
    ByWidth<Truncation> truncate_part;
    void (*select_part)(const Selection &job, Range range);
    ByWidth<Selection> select_truncate_part;
    void (*inject_part)(const Selection &job, Range range);
    // The dealer's: words, values, values.
    void (*mask_product)(const MaskProduct &job, Range words);
    ByWidth<Dealing> deal_truncate;
    ByWidth<Dealing> deal_select_truncate;
    void (*deal_select)(const Dealing &job, Range range);
};

// Null where the variant is not built; whether this processor can run it is asked elsewhere.
const Variant *portable();
const Variant *avx2();
const Variant *avx512();

// "avx512", "avx2" or "portable", if built and if this processor has it; null otherwise. An empty name: the fastest.
const Variant *variant_named(const char *name);

}  // namespace stead::bits
