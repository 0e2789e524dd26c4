// Loops that the compiler turns into vectors by itself, for each variant with that variant's flags: hence the unnamed
// namespace, against all custom for headers (see bits_kernels.hpp).
#pragma once

#include "bits_kernels.hpp"
#include "bits_masked_loops.hpp"

namespace stead::bits {
namespace {

// One word of each of a group's matrices; the compiler cuts it into the vectors that there are.
using Lanes [[gnu::vector_size(kGroup * sizeof(Word))]] = Word;

// kGroup matrices of 64 x 64 bits: lane g of a[t] is row t of matrix g.
struct Block {
    Lanes a[kWordBits];
};

// The high half of each `2 * step` bits of the low rows, against the low half of those of the high rows; see Warren,
// "Hacker's Delight", section 7-3.
template <Size step>
void swap_halves(Block &block) {
    constexpr Word mask = ~Word{0} / ((Word{1} << step) + 1);
    for (Size i = 0; i < kWordBits; i = (i + step + 1) & ~step) {
        const Lanes swapped = ((block.a[i] >> step) ^ block.a[i + step]) & mask;
        block.a[i] ^= swapped << step;
        block.a[i + step] ^= swapped;
    }
}

inline void transpose(Block &block) {
    swap_halves<32>(block);
    swap_halves<16>(block);
    swap_halves<8>(block);
    swap_halves<4>(block);
    swap_halves<2>(block);
    swap_halves<1>(block);
}

// The planes of kGroup * 64 values.
struct PlainBlocks {
    [[maybe_unused]] static void pack(const Word *values, Size width, Rows<Word> planes) {
        Block block;
        for (Size g = 0; g < kGroup; ++g) {
            for (Size t = 0; t < kWordBits; ++t) block.a[t][g] = values[kWordBits * g + t];
        }
        transpose(block);
        for (Size j = 0; j < width; ++j) {
            for (Size g = 0; g < kGroup; ++g) planes.at(j)[g] = block.a[j][g];
        }
    }

    [[maybe_unused]] static void unpack(Rows<const Word> planes, Size width, Word *values) {
        Block block;
        for (Size j = 0; j < kWordBits; ++j) {
            for (Size g = 0; g < kGroup; ++g) block.a[j][g] = j < width ? planes.at(j)[g] : 0;
        }
        transpose(block);
        for (Size g = 0; g < kGroup; ++g) {
            for (Size t = 0; t < kWordBits; ++t) values[kWordBits * g + t] = block.a[t][g];
        }
    }
};

// A few groups are gathered before they are copied to the planes: lines that are a power of two apart push each other
// out of the cache.
inline constexpr Size kStripe = 4 * kGroup;

struct Stripe {
    alignas(64) Word words[kWordBits][kStripe];
    alignas(64) Word values[kGroup * kWordBits];
};

inline Size smaller(Size a, Size b) { return a < b ? a : b; }

template <class Blocks>
void to_planes(const Packing &job, Range words) {
    constexpr Size values = kGroup * kWordBits;
    Stripe stripe;
    for (Size w = words.begin; w < words.end; w += kStripe) {
        const Size count = smaller(kStripe, words.end - w);
        for (Size g = 0; g < count; g += kGroup) {
            const Size first = (w + g) * kWordBits;
            const Word *source = job.values + first;
            const Size here = smaller(values, job.size - first);
            if (here < values || job.addend) {
                for (Size t = 0; t < here; ++t) stripe.values[t] = source[t];
                for (Size t = here; t < values; ++t) stripe.values[t] = 0;
                for (Size t = 0; job.addend && t < here; ++t) stripe.values[t] += job.addend[first + t];
                source = stripe.values;
            }
            Blocks::pack(source, job.width, {stripe.words[0] + g, kStripe});
        }
        for (Size j = 0; j < job.width; ++j) {
            Word *target = job.planes.at(j) + w;
            for (Size g = 0; g < count; ++g) target[g] = stripe.words[j][g] ^ job.flip;
        }
    }
}

template <class Blocks>
void from_planes(Rows<const Word> planes, Size width, Word *values, Size size, Range words) {
    Stripe stripe;
    for (Size w = words.begin; w < words.end; w += kStripe) {
        const Size count = smaller(kStripe, words.end - w);
        for (Size j = 0; j < width; ++j) {
            const Word *source = planes.at(j) + w;
            for (Size g = 0; g < kStripe; ++g) stripe.words[j][g] = g < count ? source[g] : 0;
        }
        for (Size g = 0; g < count; g += kGroup) {
            const Size first = (w + g) * kWordBits;
            const bool whole = first + kGroup * kWordBits <= size;
            Blocks::unpack({stripe.words[0] + g, kStripe}, width, whole ? values + first : stripe.values);
            if (whole) continue;
            for (Size t = 0; first + t < size; ++t) values[first + t] = stripe.values[t];
        }
    }
}

inline void unpack(const Word *plane, Word *values, Range range) {
    Size at = range.begin;
    for (; at < range.end && at % kWordBits != 0; ++at) values[at] = plane[at / kWordBits] >> (at % kWordBits) & 1;
    for (; at + kWordBits <= range.end; at += kWordBits) {
        const Word word = plane[at / kWordBits];
        for (Size t = 0; t < kWordBits; ++t) values[at + t] = word >> t & 1;
    }
    for (; at < range.end; ++at) values[at] = plane[at / kWordBits] >> (at % kWordBits) & 1;
}

// A factor is a power of two, so that the product is exact; the conversion rounds halves to even, as the processor does
// unless it has been told otherwise.
template <class T>
bool encode(const T *values, double factor, Word *ring, Range range) {
    Word misfits = 0;
    for (Size i = range.begin; i < range.end; ++i) {
        const double scaled = static_cast<double>(values[i]) * factor;
        const bool fits = scaled < 0x1p62 && scaled > -0x1p62;  // and is a number
        misfits |= static_cast<Word>(!fits);
        ring[i] = static_cast<Word>(static_cast<std::int64_t>(__builtin_llrint(fits ? scaled : 0.0)));
    }
    return misfits == 0;
}

template <class T>
void decode(const Word *ring, T factor, T *values, Range range) {
    for (Size i = range.begin; i < range.end; ++i) {
        values[i] = static_cast<T>(static_cast<std::int64_t>(ring[i])) * factor;
    }
}

template <class Blocks>
constexpr Variant variant(const char *name) {
    return {.name = name,
            .to_planes = to_planes<Blocks>,
            .from_planes = from_planes<Blocks>,
            .unpack = unpack,
            .encode64 = encode<double>,
            .encode32 = encode<float>,
            .decode64 = decode<double>,
            .decode32 = decode<float>,
            .masked_and = masked_and,
            .subset_products = subset_products,
            .fold_groups = fold_groups,
            .truncate_part = {truncate_part<std::uint16_t>, truncate_part<std::uint32_t>, truncate_part<Word>},
            .select_part = select_part,
            .select_truncate_part = {select_truncate_part<std::uint16_t>, select_truncate_part<std::uint32_t>,
                                     select_truncate_part<Word>},
            .inject_part = inject_part,
            .mask_product = mask_product,
            .deal_truncate = {deal_truncate<std::uint16_t>, deal_truncate<std::uint32_t>, deal_truncate<Word>},
            .deal_select_truncate = {deal_select_truncate<std::uint16_t>, deal_select_truncate<std::uint32_t>,
                                     deal_select_truncate<Word>},
            .deal_select = deal_select};
}

}  // namespace
}  // namespace stead::bits
