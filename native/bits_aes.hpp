// AES-256 in counter mode, fused with the addition that a keystream is for. Only by the processor's AES instructions,
// which take the same time for every key: there is no table here, and no portable variant.
#pragma once

#include "bits_kernels.hpp"

namespace stead::bits {

enum class Combine { kDraw, kXor, kSubtract };

inline constexpr Size kKeyBytes = 32;
inline constexpr Size kCounterBytes = 16;

// Words `skip` (0 or 1) and on of the keystream that begins at the block `counter`.
struct Keystream {
    const std::uint8_t *key;      // kKeyBytes
    const std::uint8_t *counter;  // kCounterBytes, big-endian
    Size skip;
    Combine combine;
    const Word *values;  // of which the keystream is subtracted, or to which it is added by exclusive or
    Word *out;
    Size size;  // words
};

// Whether this build has `keystream`; whether this processor can run it is asked elsewhere.
bool keystream_built();
void keystream(const Keystream &job);

// Both.
bool keystream_runs();

}  // namespace stead::bits
