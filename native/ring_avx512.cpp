// AVX-512 (F, DQ, VL): vpmullq or vpmulld and an addition for each vector of products, in tiles of 8 rows and 3 vectors.
//
// A tile keeps its 24 sums in registers; the left operand is broadcast from memory, the right one streams. Columns that
// do not fill a vector are taken by `thin`, whose vectors lie along the 8 rows of the left panel, so that an odd number
// of columns wastes nothing.

#include "ring_loops.hpp"

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define STEAD_RING_AVX512
// GCC 12 takes the undefined operands inside its own intrinsics for ours (its bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#endif

namespace stead::ring {

#ifdef STEAD_RING_AVX512
namespace {

constexpr Size kRows = 8;
constexpr Size kVectors = 3;

// What differs between the rings. A `Vector` is 64 bytes; an `Eight` has eight elements.
template <class T>
struct Words;

template <>
struct Words<std::uint64_t> {
    using Eight = __m512i;
    static constexpr Size kLanes = 8;
    static __m512i add(__m512i x, __m512i y) { return _mm512_add_epi64(x, y); }
    static __m512i times(__m512i x, __m512i y) { return _mm512_mullo_epi64(x, y); }
    static __m512i same(std::uint64_t x) { return _mm512_set1_epi64(static_cast<long long>(x)); }
    static Eight zero8() { return _mm512_setzero_si512(); }
    static Eight load8(const std::uint64_t *at) { return _mm512_loadu_si512(at); }
    static Eight load8(Eight rest, __mmask8 mask, const std::uint64_t *at) {
        return _mm512_mask_loadu_epi64(rest, mask, at);
    }
    static void store8(std::uint64_t *at, Eight x) { _mm512_storeu_si512(at, x); }
    static Eight add8(Eight x, Eight y) { return add(x, y); }
    static Eight times8(Eight x, Eight y) { return times(x, y); }
    static Eight same8(std::uint64_t x) { return same(x); }

    static void transpose8(Eight (&r)[8]) {
        Eight t[8];
        for (Size i = 0; i < 8; i += 2) {
            t[i] = _mm512_unpacklo_epi64(r[i], r[i + 1]);
            t[i + 1] = _mm512_unpackhi_epi64(r[i], r[i + 1]);
        }
        for (Size i = 0; i < 2; ++i) {
            const Eight even_left = _mm512_shuffle_i64x2(t[i], t[i + 2], 0x88);
            const Eight odd_left = _mm512_shuffle_i64x2(t[i], t[i + 2], 0xdd);
            const Eight even_right = _mm512_shuffle_i64x2(t[i + 4], t[i + 6], 0x88);
            const Eight odd_right = _mm512_shuffle_i64x2(t[i + 4], t[i + 6], 0xdd);
            r[i] = _mm512_shuffle_i64x2(even_left, even_right, 0x88);
            r[i + 4] = _mm512_shuffle_i64x2(even_left, even_right, 0xdd);
            r[i + 2] = _mm512_shuffle_i64x2(odd_left, odd_right, 0x88);
            r[i + 6] = _mm512_shuffle_i64x2(odd_left, odd_right, 0xdd);
        }
    }
};

template <>
struct Words<std::uint32_t> {
    using Eight = __m256i;
    static constexpr Size kLanes = 16;
    static __m512i add(__m512i x, __m512i y) { return _mm512_add_epi32(x, y); }
    static __m512i times(__m512i x, __m512i y) { return _mm512_mullo_epi32(x, y); }
    static __m512i same(std::uint32_t x) { return _mm512_set1_epi32(static_cast<int>(x)); }
    static Eight zero8() { return _mm256_setzero_si256(); }
    static Eight load8(const std::uint32_t *at) { return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(at)); }
    static Eight load8(Eight rest, __mmask8 mask, const std::uint32_t *at) {
        return _mm256_mask_loadu_epi32(rest, mask, at);
    }
    static void store8(std::uint32_t *at, Eight x) { _mm256_storeu_si256(reinterpret_cast<__m256i *>(at), x); }
    static Eight add8(Eight x, Eight y) { return _mm256_add_epi32(x, y); }
    static Eight times8(Eight x, Eight y) { return _mm256_mullo_epi32(x, y); }
    static Eight same8(std::uint32_t x) { return _mm256_set1_epi32(static_cast<int>(x)); }

    static void transpose8(Eight (&r)[8]) {
        Eight t[8];
        for (Size i = 0; i < 8; i += 2) {
            t[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
            t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
        }
        Eight u[8];  // u[4 h + c] holds columns c and c + 4 of rows 4 h to 4 h + 3
        for (Size h = 0; h < 2; ++h) {
            for (Size i = 0; i < 2; ++i) {
                u[4 * h + 2 * i] = _mm256_unpacklo_epi64(t[4 * h + i], t[4 * h + i + 2]);
                u[4 * h + 2 * i + 1] = _mm256_unpackhi_epi64(t[4 * h + i], t[4 * h + i + 2]);
            }
        }
        for (Size c = 0; c < 4; ++c) {
            r[c] = _mm256_permute2x128_si256(u[c], u[c + 4], 0x20);
            r[c + 4] = _mm256_permute2x128_si256(u[c], u[c + 4], 0x31);
        }
    }
};

template <class T, Size Rows, Size Vectors>
void tile_of(const Tile<T> &job) {
    using W = Words<T>;
    __m512i sum[Rows][Vectors];
    for (Size r = 0; r < Rows; ++r) {
        for (Size v = 0; v < Vectors; ++v) {
            sum[r][v] = _mm512_setzero_si512();
            __builtin_prefetch(job.c + static_cast<Offset>(r) * job.row + v * W::kLanes, 1);
        }
    }
    const T *a = job.a;
    const T *b = job.b;
#pragma GCC unroll 2
    for (Size k = 0; k < job.depth; ++k, a += kRows, b += Vectors * W::kLanes) {
        __m512i right[Vectors];
#pragma GCC unroll 3
        for (Size v = 0; v < Vectors; ++v) right[v] = _mm512_loadu_si512(b + v * W::kLanes);
#pragma GCC unroll 8
        for (Size r = 0; r < Rows; ++r) {
            const __m512i left = W::same(a[r]);
#pragma GCC unroll 3
            for (Size v = 0; v < Vectors; ++v) sum[r][v] = W::add(sum[r][v], W::times(left, right[v]));
        }
    }
    for (Size r = 0; r < Rows; ++r) {
        for (Size v = 0; v < Vectors; ++v) {
            T *c = job.c + static_cast<Offset>(r) * job.row + v * W::kLanes;
            if (job.accumulate) sum[r][v] = W::add(sum[r][v], _mm512_loadu_si512(c));
            _mm512_storeu_si512(c, sum[r][v]);
        }
    }
}

// Calls tile_of with the numbers of rows and vectors as constants.
template <class T, Size Rows = kRows>
void tile(const Tile<T> &job) {
    if constexpr (Rows > 1) {
        if (job.rows < Rows) return tile<T, Rows - 1>(job);
    }
    switch (job.vectors) {
        case 1: return tile_of<T, Rows, 1>(job);
        case 2: return tile_of<T, Rows, 2>(job);
        default: return tile_of<T, Rows, kVectors>(job);
    }
}

template <class T, Size Columns>
void thin_of(const Tile<T> &job) {
    using W = Words<T>;
    typename W::Eight sum[Columns];
    for (Size c = 0; c < Columns; ++c) sum[c] = W::zero8();
    const T *a = job.a;
    const T *b = job.b;
    for (Size k = 0; k < job.depth; ++k, a += kRows, b += W::kLanes) {
        const typename W::Eight left = W::load8(a);
#pragma GCC unroll 16
        for (Size c = 0; c < Columns; ++c) sum[c] = W::add8(sum[c], W::times8(left, W::same8(b[c])));
    }
    for (Size c = 0; c < Columns; ++c) W::store8(job.c + static_cast<Offset>(c) * job.row, sum[c]);
}

template <class T, Size Columns = Words<T>::kLanes - 1>
void thin(const Tile<T> &job) {
    if constexpr (Columns > 1) {
        if (job.vectors < Columns) return thin<T, Columns - 1>(job);
    }
    thin_of<T, Columns>(job);
}

// Up to eight offsets, as a few runs of neighbours: element i of run j stands at shift[j] + i.
struct Runs {
    Size count = 0;
    __mmask8 mask[8];
    Offset shift[8];

    Runs() = default;
    Runs(const Offset *offsets, Size size) {
        __mmask8 left = static_cast<__mmask8>((1u << size) - 1);
        const __m512i at = _mm512_maskz_loadu_epi64(left, offsets);
        const __m512i shifts = _mm512_sub_epi64(at, _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0));
        while (left) {
            const int first = __builtin_ctz(left);
            shift[count] = offsets[first] - first;
            mask[count] = _mm512_mask_cmpeq_epi64_mask(left, shifts, _mm512_set1_epi64(shift[count]));
            left = static_cast<__mmask8>(left & ~mask[count]);
            ++count;
        }
    }

    bool whole() const { return count == 1 && mask[0] == 0xff; }
};

// Masked lanes are not read, so that no run reaches behind the array.
template <class T>
typename Words<T>::Eight load_runs(const Runs &runs, const T *from) {
    typename Words<T>::Eight x = Words<T>::zero8();
    for (Size j = 0; j < runs.count; ++j) x = Words<T>::load8(x, runs.mask[j], from + runs.shift[j]);
    return x;
}

template <class T, bool Whole, bool Added>
typename Words<T>::Eight fetch(const Runs &runs, const T *source, const T *addend, Offset at) {
    using W = Words<T>;
    if constexpr (Whole) {
        const typename W::Eight x = W::load8(source + at + runs.shift[0]);
        if constexpr (Added) return W::add8(x, W::load8(addend + at + runs.shift[0]));
        return x;
    } else {
        const typename W::Eight x = load_runs(runs, source + at);
        if constexpr (Added) return W::add8(x, load_runs(runs, addend + at));
        return x;
    }
}

// All lanes, row by row.
template <class T, bool Whole, bool Added>
void pack_lanes(const Packing<T> &job, const Runs *groups) {
    constexpr Size kAhead = 12;
    const Size count = job.width / 8;
    T *to = job.packed;
    for (Size k = 0; k < job.depths; ++k) {
        if (k + kAhead < job.depths) {
            const Offset at = job.lane[0] + job.depth[k + kAhead];
            __builtin_prefetch(job.source + at);
            if constexpr (Added) __builtin_prefetch(job.addend + at);
        }
        for (Size g = 0; g < count; ++g, to += 8) {
            Words<T>::store8(to, fetch<T, Whole, Added>(groups[g], job.source, job.addend, job.depth[k]));
        }
    }
}

// Eight steps of depth from k on, all lanes, turned over in blocks of eight by eight.
template <class T, bool Whole, bool Added>
void pack_steps(const Packing<T> &job, const Runs &runs, Size k) {
    constexpr Size kAhead = 64;
    const Size steps = job.depths - k < 8 ? job.depths - k : 8;
    const Offset ahead = job.depth[k + kAhead < job.depths ? k + kAhead : job.depths - 1];
    for (Size l = 0; l < job.lanes; ++l) {
        __builtin_prefetch(job.source + job.lane[l] + ahead);
        if constexpr (Added) __builtin_prefetch(job.addend + job.lane[l] + ahead);
    }
    for (Size group = 0; group < job.width; group += 8) {
        typename Words<T>::Eight rows[8];
        const Size lanes = job.lanes < group ? 0 : job.lanes - group;
        if (lanes >= 8) {
            for (Size l = 0; l < 8; ++l) {
                rows[l] = fetch<T, Whole, Added>(runs, job.source, job.addend, job.lane[group + l]);
            }
        } else {
            for (Size l = 0; l < 8; ++l) {
                rows[l] = l < lanes ? fetch<T, Whole, Added>(runs, job.source, job.addend, job.lane[group + l])
                                    : Words<T>::zero8();
            }
        }
        Words<T>::transpose8(rows);
        T *to = job.packed + k * job.width + group;
        if constexpr (Whole) {
            for (Size i = 0; i < 8; ++i) Words<T>::store8(to + i * job.width, rows[i]);
        } else {
            for (Size i = 0; i < steps; ++i) Words<T>::store8(to + i * job.width, rows[i]);
        }
    }
}

template <class T, bool Added>
void pack_added(const Packing<T> &job) {
    if (job.along_depth) {
        for (Size k = 0; k < job.depths; k += 8) {
            const Runs runs(job.depth + k, job.depths - k < 8 ? job.depths - k : 8);
            if (runs.whole()) {
                pack_steps<T, true, Added>(job, runs, k);
            } else {
                pack_steps<T, false, Added>(job, runs, k);
            }
        }
        return;
    }
    Runs groups[kMostColumns / 8];
    bool whole = true;
    for (Size g = 0; g < job.width / 8; ++g) {
        const Size lanes = job.lanes < 8 * g ? 0 : job.lanes - 8 * g;
        groups[g] = Runs(job.lane + 8 * g, lanes < 8 ? lanes : 8);
        whole = whole && groups[g].whole();
    }
    if (whole) {
        pack_lanes<T, true, Added>(job, groups);
    } else {
        pack_lanes<T, false, Added>(job, groups);
    }
}

template <class T>
void pack(const Packing<T> &job) {
    if (job.addend) {
        pack_added<T, true>(job);
    } else {
        pack_added<T, false>(job);
    }
}

template <class T>
constexpr Variant<T> kVariant{"avx512", kRows,   Words<T>::kLanes, kVectors,     tile<T>,
                              thin<T>,  pack<T>, dot_plain<T>,     axpy_plain<T>};

}  // namespace

template <>
const Variant<std::uint64_t> *avx512() {
    return &kVariant<std::uint64_t>;
}

template <>
const Variant<std::uint32_t> *avx512() {
    return &kVariant<std::uint32_t>;
}

#else

template <>
const Variant<std::uint64_t> *avx512() {
    return nullptr;
}

template <>
const Variant<std::uint32_t> *avx512() {
    return nullptr;
}

#endif

}  // namespace stead::ring
