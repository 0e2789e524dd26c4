// What the parties of masked sharing compute between two messages, each in one pass over its operands.
//
// The formulas, with their symbols, are in src/stead/mpc/kernels/masked_reference.py. As in bits_loops.hpp, everything
// is in an unnamed namespace, because each variant's file compiles it with its own flags.
#pragma once

#include "bits_kernels.hpp"

namespace stead::bits {
namespace {

// Several neighbouring words at once.
inline constexpr Size kWide = 8;
using Wide [[gnu::vector_size(kWide * sizeof(Word))]] = Word;

// From and to wherever the words stand, aligned or not.
template <class V>
inline V load(const Word *at) {
    V value;
    __builtin_memcpy(&value, at, sizeof value);
    return value;
}

template <class V>
inline void store(Word *at, const V &value) {
    __builtin_memcpy(at, &value, sizeof value);
}

// Runs step<Wide>(w) for whole vectors of words and step<Word>(w) for the rest.
template <class Step>
inline void over_words(Range words, const Step &step) {
    Size w = words.begin;
    for (; w + kWide <= words.end; w += kWide) step.template operator()<Wide>(w);
    for (; w < words.end; ++w) step.template operator()<Word>(w);
}

[[maybe_unused]] void masked_and(const And &job, Range words) {
    const Word ours = job.first ? ~Word{0} : 0;
    for (Size j = 0; j < job.rows; ++j) {
        const Word *mx = job.mx.at(j), *lx = job.lx.at(j), *my = job.my.at(j), *ly = job.ly.at(j);
        const Word *dealt = job.dealt.at(j);
        Word *out = job.out.at(j);
        over_words(words, [&]<class V>(Size w) {
            const V known = load<V>(my + w);
            const V part = load<V>(mx + w) & ((known & ours) ^ load<V>(ly + w));
            store<V>(out + w, load<V>(dealt + w) ^ part ^ (load<V>(lx + w) & known));
        });
    }
}

// The low bit of a subset's number, as an index.
constexpr Size lowest(Size subset) {
    Size bit = 0;
    while (!(subset >> bit & 1)) ++bit;
    return bit;
}

// How many of the subsets below this one have two elements or more.
constexpr Size row_of(Size subset) {
    Size row = 0;
    for (Size s = 1; s < subset; ++s) row += (s & (s - 1)) != 0;
    return row;
}

template <Size depth>
void products_of(const Products &job, Range words) {
    constexpr Size subsets = Size{1} << depth;
    for (Size g = 0; g < job.groups; ++g) {
        over_words(words, [&]<class V>(Size w) {
            V of[subsets];
            Size row = 0;
#pragma GCC unroll 16
            for (Size s = 1; s < subsets; ++s) {
                if ((s & (s - 1)) == 0) {
                    of[s] = load<V>(job.bits.at(g * depth + lowest(s)) + w);
                    continue;
                }
                of[s] = of[s & (~s + 1)] & of[s & (s - 1)];
                Word *target = job.out.at(row++ * job.groups + g) + w;
                store<V>(target, job.combine ? of[s] ^ load<V>(target) : of[s]);
            }
        });
    }
}

[[maybe_unused]] void subset_products(const Products &job, Range words) {
    switch (job.depth) {
        case 1: return;
        case 2: return products_of<2>(job, words);
        case 3: return products_of<3>(job, words);
        default: return products_of<4>(job, words);
    }
}

// The polynomials of one group over the words of one vector; see `fold_groups` in the reference.
template <class V, Size depth, bool borrow, bool equal>
inline void fold(const Fold &job, Size g, Size w) {
    constexpr Size subsets = Size{1} << depth;
    V r[subsets], q[subsets], v[subsets / 2];
    const Word none = job.first ? ~Word{0} : 0;
    r[0] = V{} + none;
#pragma GCC unroll 16
    for (Size s = 1; s < subsets; ++s) {
        const bool single = (s & (s - 1)) == 0;
        const Word *from = single ? job.r.at(g * depth + lowest(s)) : job.products.at(row_of(s) * job.groups + g);
        r[s] = load<V>(from + w);
    }
#pragma GCC unroll 16
    for (Size s = 0; s < subsets; ++s) q[s] = r[s];
#pragma GCC unroll 4
    for (Size k = 0; k < depth; ++k) {
        const V n = load<V>(job.n.at(g * depth + k) + w);
        const Size left = subsets >> (k + 1);
        const bool wanted = !job.last || k + 1 == depth;
        const Size target = job.last ? g : g * depth + k;
        if constexpr (borrow) {
#pragma GCC unroll 8
            for (Size s = 0; s < left; ++s) {
                v[s] = k == 0 ? n & r[2 * s + 1] : v[2 * s + 1] ^ (n & (r[2 * s + 1] ^ v[2 * s]));
            }
            if (wanted) store<V>(job.borrow.at(target) + w, v[0]);
        }
        if constexpr (equal) {
#pragma GCC unroll 8
            for (Size s = 0; s < left; ++s) q[s] = q[2 * s + 1] ^ (n & q[2 * s]);
            if (wanted) store<V>(job.equal.at(target) + w, q[0]);
        }
#pragma GCC unroll 8
        for (Size s = 0; s < left; ++s) r[s] = r[2 * s];
    }
}

template <Size depth, bool borrow, bool equal>
void fold_all(const Fold &job, Range words) {
    for (Size g = 0; g < job.groups; ++g) {
        over_words(words, [&]<class V>(Size w) { fold<V, depth, borrow, equal>(job, g, w); });
    }
}

template <Size depth>
void fold_depth(const Fold &job, Range words) {
    if (job.borrow.data == nullptr) return fold_all<depth, false, true>(job, words);
    if (job.equal.data == nullptr) return fold_all<depth, true, false>(job, words);
    fold_all<depth, true, true>(job, words);
}

[[maybe_unused]] void fold_groups(const Fold &job, Range words) {
    switch (job.depth) {
        case 1: return fold_depth<1>(job, words);
        case 2: return fold_depth<2>(job, words);
        case 3: return fold_depth<3>(job, words);
        default: return fold_depth<4>(job, words);
    }
}

// What truncation reads of m: A, and a mask of ones where m + 2^62 < 2^63.
struct Terms {
    Word known;
    Word low;
};

inline Terms terms_of(Word m, int bits) {
    const Word raised = m + (Word{1} << 62);
    return {(raised >> bits) - (Word{1} << (62 - bits)), (raised >> 63) - 1};
}

template <class N>
inline Word wrapped(Word low, N dealt, int bits) {
    return (static_cast<Word>(dealt) << (64 - bits)) & low;
}

inline Word negated_where(Word flip, Word part) { return (part ^ flip) - flip; }

template <class N>
void truncate_part(const Truncation &job, Range range) {
    const N *wrap = static_cast<const N *>(job.wrap);
    const Word ours = job.first ? ~Word{0} : 0;
    for (Size i = range.begin; i < range.end; ++i) {
        const Terms m = terms_of(job.m[i], job.bits);
        job.out[i] = wrapped(m.low, wrap[i], job.bits) + job.u[i] - job.quotient[i] + (m.known & ours);
    }
}

// step(value, all ones where its bit is 1, else 0); the range begins at the first bit of a word.
template <class Step>
inline void over_chosen(const Word *chosen, Range range, const Step &step) {
    for (Size begin = range.begin; begin < range.end; begin += kWordBits) {
        const Word word = chosen[begin / kWordBits];
        const Size count = range.end - begin < kWordBits ? range.end - begin : kWordBits;
        for (Size t = 0; t < count; ++t) step(begin + t, -(word >> t & 1));
    }
}

[[maybe_unused]] void select_part(const Selection &job, Range range) {
    const Word ours = job.first ? ~Word{0} : 0;
    const Word *m = job.m, *rest = job.rest, *bit = job.bit, *bit_rest = job.bit_rest, *u = job.u;
    Word *__restrict out = job.out;
    over_chosen(job.chosen, range, [=](Size i, Word flip) {
        const Word part = negated_where(flip, m[i] * bit[i] - bit_rest[i]);
        out[i] = part + (((m[i] & ours) - rest[i]) & flip) + u[i];
    });
}

template <class N>
void select_truncate_part(const Selection &job, Range range) {
    const Word ours = job.first ? ~Word{0} : 0;
    const Word *m = job.m, *rest = job.rest, *bit = job.bit, *bit_rest = job.bit_rest, *u = job.u;
    const N *wrap = static_cast<const N *>(job.wrap), *bit_wrap = static_cast<const N *>(job.bit_wrap);
    Word *__restrict out = job.out;
    const int bits = job.bits;
    over_chosen(job.chosen, range, [=](Size i, Word flip) {
        const Terms of_m = terms_of(m[i], bits);
        const Word part = of_m.known * bit[i] - bit_rest[i] + wrapped(of_m.low, bit_wrap[i], bits);
        const Word chosen = wrapped(of_m.low, wrap[i], bits) - rest[i] + (of_m.known & ours);
        out[i] = negated_where(flip, part) + (chosen & flip) + u[i];
    });
}

[[maybe_unused]] void inject_part(const Selection &job, Range range) {
    const Word ours = job.first ? ~Word{0} : 0;
    const Word *bit = job.bit, *u = job.u;
    Word *__restrict out = job.out;
    over_chosen(job.chosen, range, [=](Size i, Word flip) {
        out[i] = negated_where(flip, bit[i]) + u[i] + (flip & ours & 1);
    });
}

[[maybe_unused]] void mask_product(const MaskProduct &job, Range words) {
    for (Size j = 0; j < job.rows; ++j) {
        const Word *x1 = job.x1.at(j), *x2 = job.x2.at(j), *y1 = job.y1.at(j), *y2 = job.y2.at(j);
        Word *out = job.out.at(j);
        over_words(words, [&]<class V>(Size w) {
            const V product = (load<V>(x1 + w) ^ load<V>(x2 + w)) & (load<V>(y1 + w) ^ load<V>(y2 + w));
            store<V>(out + w, load<V>(out + w) ^ product);
        });
    }
}

template <class N>
void deal_truncate(const Dealing &job, Range range) {
    const Word *l1 = job.l1, *l2 = job.l2;
    Word *__restrict quotient = job.quotient;
    N *__restrict wrap = static_cast<N *>(job.wrap);
    const int bits = job.bits;
    for (Size i = range.begin; i < range.end; ++i) {
        const Word l = l1[i] + l2[i];
        quotient[i] = (l >> bits) - quotient[i];
        wrap[i] = static_cast<N>((l >> 63) - wrap[i]);
    }
}

// step(value, all ones where the bit's mask is 1, else 0).
template <class Step>
inline void over_mask(const Dealing &job, Range range, const Step &step) {
    for (Size begin = range.begin; begin < range.end; begin += kWordBits) {
        const Word word = job.b1[begin / kWordBits] ^ job.b2[begin / kWordBits];
        const Size count = range.end - begin < kWordBits ? range.end - begin : kWordBits;
        for (Size t = 0; t < count; ++t) step(begin + t, -(word >> t & 1));
    }
}

template <class N>
void deal_select_truncate(const Dealing &job, Range range) {
    const Word *l1 = job.l1, *l2 = job.l2;
    Word *__restrict quotient = job.quotient, *__restrict bit = job.bit, *__restrict bit_rest = job.bit_rest;
    N *__restrict wrap = static_cast<N *>(job.wrap);
    N *__restrict bit_wrap = static_cast<N *>(job.bit_wrap);
    const int bits = job.bits;
    over_mask(job, range, [=](Size i, Word b) {
        const Word l = l1[i] + l2[i];
        const Word shifted = l >> bits;
        quotient[i] = shifted - quotient[i];
        bit[i] = (b & 1) - bit[i];
        bit_rest[i] = (b & shifted) - bit_rest[i];
        wrap[i] = static_cast<N>((l >> 63) - wrap[i]);
        bit_wrap[i] = static_cast<N>((b & l >> 63) - bit_wrap[i]);
    });
}

[[maybe_unused]] void deal_select(const Dealing &job, Range range) {
    const Word *l1 = job.l1, *l2 = job.l2;
    Word *__restrict bit = job.bit, *__restrict bit_rest = job.bit_rest;
    over_mask(job, range, [=](Size i, Word b) {
        bit[i] = (b & 1) - bit[i];
        bit_rest[i] = (b & (l1[i] + l2[i])) - bit_rest[i];
    });
}

}  // namespace
}  // namespace stead::bits
