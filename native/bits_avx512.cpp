// AVX-512 with VBMI and GFNI (Ice Lake, Zen 4 and later): bytes are moved by permutations, 8 x 8 bits by one
// instruction.

#include "bits_loops.hpp"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VBMI__) && \
    defined(__GFNI__)

#include <immintrin.h>

namespace stead::bits {
namespace {

struct Bytes {
    alignas(64) std::uint8_t at[64];
};

// Byte c of word r from byte r of word c.
constexpr Bytes transposing(bool reversed) {
    Bytes bytes{};
    for (int r = 0; r < 8; ++r) {
        for (int c = 0; c < 8; ++c) bytes.at[8 * r + c] = static_cast<std::uint8_t>(8 * (reversed ? 7 - c : c) + r);
    }
    return bytes;
}

constexpr Bytes kTransposing = transposing(false);
// The matrix of GF2P8AFFINEQB has its first row in its last byte.
constexpr Bytes kReversing = transposing(true);
constexpr long long kEachBit = static_cast<long long>(0x8040201008040201);

// Word r of vector c from word c of vector r.
inline void transpose_words(__m512i (&x)[8]) {
    __m512i y[8];
    for (int i = 0; i < 8; i += 2) {
        y[i] = _mm512_unpacklo_epi64(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi64(x[i], x[i + 1]);
    }
    for (int i = 0; i < 2; ++i) {
        const __m512i a = _mm512_shuffle_i64x2(y[i], y[2 + i], 0x88);
        const __m512i b = _mm512_shuffle_i64x2(y[i], y[2 + i], 0xDD);
        const __m512i c = _mm512_shuffle_i64x2(y[4 + i], y[6 + i], 0x88);
        const __m512i d = _mm512_shuffle_i64x2(y[4 + i], y[6 + i], 0xDD);
        x[i] = _mm512_shuffle_i64x2(a, c, 0x88);
        x[i + 4] = _mm512_shuffle_i64x2(a, c, 0xDD);
        x[i + 2] = _mm512_shuffle_i64x2(b, d, 0x88);
        x[i + 6] = _mm512_shuffle_i64x2(b, d, 0xDD);
    }
}

struct Scratch {
    alignas(64) Word a[8][kGroup][8];  // byte of a value, group, bit of that byte
};

struct VectorBlocks {
    static void pack(const Word *values, Size width, Rows<Word> planes) {
        const __m512i transposing = _mm512_load_si512(kTransposing.at);
        const __m512i reversing = _mm512_load_si512(kReversing.at);
        const __m512i each = _mm512_set1_epi64(kEachBit);
        const Size bytes = (width + 7) / 8;
        Scratch scratch;
        for (Size g = 0; g < kGroup; ++g) {
            __m512i x[8];
            for (Size v = 0; v < 8; ++v) {
                const __m512i loaded = _mm512_loadu_si512(values + kWordBits * g + 8 * v);
                x[v] = _mm512_gf2p8affine_epi64_epi8(each, _mm512_permutexvar_epi8(reversing, loaded), 0);
            }
            transpose_words(x);
            for (Size b = 0; b < 8; ++b) {
                _mm512_store_si512(scratch.a[b][g], _mm512_permutexvar_epi8(transposing, x[b]));
            }
        }
        for (Size b = 0; b < bytes; ++b) {
            __m512i x[8];
            for (Size g = 0; g < kGroup; ++g) x[g] = _mm512_load_si512(scratch.a[b][g]);
            transpose_words(x);
            for (Size j = 0; j < 8 && 8 * b + j < width; ++j) _mm512_storeu_si512(planes.at(8 * b + j), x[j]);
        }
    }

    static void unpack(Rows<const Word> planes, Size width, Word *values) {
        const __m512i transposing = _mm512_load_si512(kTransposing.at);
        const __m512i each = _mm512_set1_epi64(kEachBit);
        Scratch scratch;
        for (Size b = 0; b < 8; ++b) {
            __m512i x[8];
            for (Size j = 0; j < 8; ++j) {
                const Size plane = 8 * b + 7 - j;
                x[j] = plane < width ? _mm512_loadu_si512(planes.at(plane)) : _mm512_setzero_si512();
            }
            transpose_words(x);
            for (Size g = 0; g < kGroup; ++g) _mm512_store_si512(scratch.a[b][g], x[g]);
        }
        for (Size g = 0; g < kGroup; ++g) {
            __m512i x[8];
            for (Size b = 0; b < 8; ++b) {
                x[b] = _mm512_permutexvar_epi8(transposing, _mm512_load_si512(scratch.a[b][g]));
            }
            transpose_words(x);
            for (Size v = 0; v < 8; ++v) {
                const __m512i bits = _mm512_gf2p8affine_epi64_epi8(each, x[v], 0);
                _mm512_storeu_si512(values + kWordBits * g + 8 * v, _mm512_permutexvar_epi8(transposing, bits));
            }
        }
    }
};

constexpr Variant kVariant = variant<VectorBlocks>("avx512");

}  // namespace

const Variant *avx512() { return &kVariant; }

}  // namespace stead::bits

#else

namespace stead::bits {

const Variant *avx512() { return nullptr; }

}  // namespace stead::bits

#endif
