// Plain C++: what every processor runs, vectorised as far as the compiler's baseline goes.

#include "bits_loops.hpp"

namespace stead::bits {
namespace {

constexpr Variant kVariant = variant<PlainBlocks>("portable");

}  // namespace

const Variant *portable() { return &kVariant; }

}  // namespace stead::bits
