// The same loops as everywhere, compiled for AVX2.

#include "bits_loops.hpp"

namespace stead::bits {

#if defined(__AVX2__)

namespace {

constexpr Variant kVariant = variant<PlainBlocks>("avx2");

}  // namespace

const Variant *avx2() { return &kVariant; }

#else

const Variant *avx2() { return nullptr; }

#endif

}  // namespace stead::bits
