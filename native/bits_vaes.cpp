// AES on four blocks at once (VAES with AVX-512: Ice Lake, Zen 4 and later), thirty-two of them under way.
//
// References: FIPS 197 (AES), sections 5.1 and 5.2; NIST SP 800-38A, section 6.5 and appendix B.1 (the counter).

#include "bits_aes.hpp"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__VAES__) && defined(__AES__)

#include <immintrin.h>

namespace stead::bits {
namespace {

constexpr int kRounds = 14;
constexpr Size kVectors = 8;
constexpr Size kBlocks = 4 * kVectors;
constexpr Size kBatch = 2 * kBlocks;  // words
constexpr Size kVectorWords = 8;

struct Schedule {
    __m128i key[kRounds + 1];

    ~Schedule() {
        for (__m128i &round : key) {
            round = _mm_setzero_si128();
            __asm__ __volatile__("" : : "r"(&round) : "memory");  // so that it is not left out
        }
    }
};

// Each word of `key` plus those before it, plus `from`.
inline __m128i spread(__m128i key, __m128i from) {
    key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
    key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
    return _mm_xor_si128(key, from);
}

template <int constant>
inline void expand(Schedule &schedule, int at) {
    __m128i *key = schedule.key;
    key[at] = spread(key[at - 2], _mm_shuffle_epi32(_mm_aeskeygenassist_si128(key[at - 1], constant), 0xFF));
    if (at < kRounds) {
        key[at + 1] = spread(key[at - 1], _mm_shuffle_epi32(_mm_aeskeygenassist_si128(key[at], 0), 0xAA));
    }
}

void expand(Schedule &schedule, const std::uint8_t *key) {
    schedule.key[0] = _mm_loadu_si128(reinterpret_cast<const __m128i *>(key));
    schedule.key[1] = _mm_loadu_si128(reinterpret_cast<const __m128i *>(key + 16));
    expand<0x01>(schedule, 2);
    expand<0x02>(schedule, 4);
    expand<0x04>(schedule, 6);
    expand<0x08>(schedule, 8);
    expand<0x10>(schedule, 10);
    expand<0x20>(schedule, 12);
    expand<0x40>(schedule, 14);
}

struct Counter {
    Word high;
    Word low;

    static Counter of(const std::uint8_t *bytes) {
        Counter counter{0, 0};
        for (Size i = 0; i < 8; ++i) counter.high = counter.high << 8 | bytes[i];
        for (Size i = 8; i < 16; ++i) counter.low = counter.low << 8 | bytes[i];
        return counter;
    }

    void advance(Size blocks) {
        low += blocks;
        high += low < blocks;
    }
};

// The counters of four blocks: the low words in order, with the carry where they wrap around.
inline __m512i counters(const Counter &counter, Size first) {
    const Word base = counter.low + first;
    const Word start = counter.high + (base < first);
    const __m512i low =
        _mm512_add_epi64(_mm512_set1_epi64(static_cast<long long>(base)), _mm512_set_epi64(0, 3, 0, 2, 0, 1, 0, 0));
    Word carries[4];
    for (Size i = 0; i < 4; ++i) carries[i] = start + (base + i < base);
    const __m512i high = _mm512_set_epi64(static_cast<long long>(carries[3]), 0, static_cast<long long>(carries[2]), 0,
                                          static_cast<long long>(carries[1]), 0, static_cast<long long>(carries[0]), 0);
    return _mm512_mask_blend_epi64(0xAA, low, high);
}

inline void encrypt(const Schedule &schedule, const Counter &counter, __m512i (&block)[kVectors]) {
    const __m512i swap = _mm512_broadcast_i32x4(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    const __m512i first = _mm512_broadcast_i32x4(schedule.key[0]);
    if (counter.low <= ~Word{0} - kBlocks) {
        const __m512i four = _mm512_set_epi64(0, 4, 0, 4, 0, 4, 0, 4);
        __m512i next = counters(counter, 0);
        for (Size v = 0; v < kVectors; ++v) {
            block[v] = _mm512_xor_si512(_mm512_shuffle_epi8(next, swap), first);
            next = _mm512_add_epi64(next, four);
        }
    } else {
        for (Size v = 0; v < kVectors; ++v) {
            block[v] = _mm512_xor_si512(_mm512_shuffle_epi8(counters(counter, 4 * v), swap), first);
        }
    }
    for (int round = 1; round < kRounds; ++round) {
        const __m512i key = _mm512_broadcast_i32x4(schedule.key[round]);
        for (Size v = 0; v < kVectors; ++v) block[v] = _mm512_aesenc_epi128(block[v], key);
    }
    const __m512i last = _mm512_broadcast_i32x4(schedule.key[kRounds]);
    for (Size v = 0; v < kVectors; ++v) block[v] = _mm512_aesenclast_epi128(block[v], last);
}

template <Combine combine>
inline __m512i combined(__m512i stream, const Word *values) {
    if constexpr (combine == Combine::kXor) return _mm512_xor_si512(_mm512_loadu_si512(values), stream);
    if constexpr (combine == Combine::kSubtract) return _mm512_sub_epi64(_mm512_loadu_si512(values), stream);
    return stream;
}

template <Combine combine>
void run(const Keystream &job) {
    Schedule schedule;
    expand(schedule, job.key);
    Counter counter = Counter::of(job.counter);
    __m512i block[kVectors];
    Size done = 0;
    Size skip = job.skip;
    while (done < job.size) {
        encrypt(schedule, counter, block);
        counter.advance(kBlocks);
        if (skip == 0 && job.size - done >= kBatch) {
            for (Size v = 0; v < kVectors; ++v, done += kVectorWords) {
                const Word *values = combine == Combine::kDraw ? nullptr : job.values + done;
                _mm512_storeu_si512(job.out + done, combined<combine>(block[v], values));
            }
            continue;
        }
        alignas(64) Word stream[kBatch];
        for (Size v = 0; v < kVectors; ++v) _mm512_store_si512(stream + v * kVectorWords, block[v]);
        for (; skip < kBatch && done < job.size; ++skip, ++done) {
            if constexpr (combine == Combine::kDraw) job.out[done] = stream[skip];
            if constexpr (combine == Combine::kXor) job.out[done] = job.values[done] ^ stream[skip];
            if constexpr (combine == Combine::kSubtract) job.out[done] = job.values[done] - stream[skip];
        }
        skip = 0;
    }
}

}  // namespace

bool keystream_built() { return true; }

void keystream(const Keystream &job) {
    switch (job.combine) {
        case Combine::kDraw: return run<Combine::kDraw>(job);
        case Combine::kXor: return run<Combine::kXor>(job);
        case Combine::kSubtract: return run<Combine::kSubtract>(job);
    }
}

}  // namespace stead::bits

#else

namespace stead::bits {

bool keystream_built() { return false; }
void keystream(const Keystream &) {}

}  // namespace stead::bits

#endif
