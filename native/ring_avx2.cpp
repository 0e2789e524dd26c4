// AVX2. There is no 64-bit product: for a = a1 2^32 + a0, a b = a0 b0 + 2^32 (a1 b0 + a0 b1). vpmuludq gives a0 b0;
// vpmulld of a and of b with its halves exchanged gives both others modulo 2^32, which is all that 2^32 leaves of them.
// Both sums run on their own, and meet once behind the loop.

#include "ring_loops.hpp"

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace stead::ring {

#ifdef __AVX2__
namespace {

constexpr Size kRows = 4;

__m256i load(const void *at) { return _mm256_loadu_si256(static_cast<const __m256i *>(at)); }

void put64(const Tile<std::uint64_t> &job, Size row, Size vector, __m256i sum) {
    std::uint64_t *c = job.c + static_cast<Offset>(row) * job.row + vector * 4;
    if (job.accumulate) sum = _mm256_add_epi64(sum, load(c));
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(c), sum);
}

void put32(const Tile<std::uint32_t> &job, Size row, Size vector, __m256i sum) {
    std::uint32_t *c = job.c + static_cast<Offset>(row) * job.row + vector * 8;
    if (job.accumulate) sum = _mm256_add_epi32(sum, load(c));
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(c), sum);
}

void tile64(const Tile<std::uint64_t> &job) {
    __m256i low[kRows] = {};
    __m256i cross[kRows] = {};
    const std::uint64_t *a = job.a;
    const std::uint64_t *b = job.b;
    for (Size k = 0; k < job.depth; ++k, a += kRows, b += 4) {
        const __m256i right = load(b);
        const __m256i exchanged = _mm256_shuffle_epi32(right, 0xb1);
#pragma GCC unroll 4
        for (Size r = 0; r < kRows; ++r) {
            const __m256i left = _mm256_set1_epi64x(static_cast<long long>(a[r]));
            low[r] = _mm256_add_epi64(low[r], _mm256_mul_epu32(left, right));
            cross[r] = _mm256_add_epi32(cross[r], _mm256_mullo_epi32(left, exchanged));
        }
    }
    for (Size r = 0; r < job.rows; ++r) {
        const __m256i both = _mm256_add_epi32(cross[r], _mm256_shuffle_epi32(cross[r], 0xb1));
        put64(job, r, 0, _mm256_add_epi64(low[r], _mm256_slli_epi64(both, 32)));
    }
}

void tile32(const Tile<std::uint32_t> &job) {
    __m256i sum[kRows][2] = {};
    const std::uint32_t *a = job.a;
    const std::uint32_t *b = job.b;
    for (Size k = 0; k < job.depth; ++k, a += kRows, b += 16) {
        const __m256i first = load(b);
        const __m256i second = load(b + 8);
#pragma GCC unroll 4
        for (Size r = 0; r < kRows; ++r) {
            const __m256i left = _mm256_set1_epi32(static_cast<int>(a[r]));
            sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_mullo_epi32(left, first));
            sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_mullo_epi32(left, second));
        }
    }
    for (Size r = 0; r < job.rows; ++r) {
        put32(job, r, 0, sum[r][0]);
        put32(job, r, 1, sum[r][1]);
    }
}

constexpr Variant<std::uint64_t> kWide{"avx2",  kRows,   4,
                                       1,       tile64,  nullptr,
                                       pack_plain<std::uint64_t>, dot_plain<std::uint64_t>,
                                       axpy_plain<std::uint64_t>};
// A panel of 16 columns is one "vector" of this variant: an edge is filled with zeros.
constexpr Variant<std::uint32_t> kNarrow{"avx2",  kRows,  16,
                                         1,       tile32, nullptr,
                                         pack_plain<std::uint32_t>, dot_plain<std::uint32_t>,
                                         axpy_plain<std::uint32_t>};

}  // namespace

template <>
const Variant<std::uint64_t> *avx2() {
    return &kWide;
}

template <>
const Variant<std::uint32_t> *avx2() {
    return &kNarrow;
}

#else

template <>
const Variant<std::uint64_t> *avx2() {
    return nullptr;
}

template <>
const Variant<std::uint32_t> *avx2() {
    return nullptr;
}

#endif

}  // namespace stead::ring
