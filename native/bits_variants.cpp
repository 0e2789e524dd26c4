// Which variant this processor can run.

#include "bits_aes.hpp"
#include "bits_kernels.hpp"

#include <cstring>

namespace stead::bits {
namespace {

bool has_avx2() {
#if defined(__x86_64__) && defined(__GNUC__)
    return __builtin_cpu_supports("avx2") != 0;
#else
    return false;
#endif
}

bool has_avx512() {
#if defined(__x86_64__) && defined(__GNUC__)
    return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
           __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
           __builtin_cpu_supports("avx512vbmi") != 0 && __builtin_cpu_supports("gfni") != 0;
#else
    return false;
#endif
}

bool has_vaes() {
#if defined(__x86_64__) && defined(__GNUC__)
    return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
           __builtin_cpu_supports("vaes") != 0 && __builtin_cpu_supports("aes") != 0;
#else
    return false;
#endif
}

}  // namespace

bool keystream_runs() { return has_vaes() && keystream_built(); }

const Variant *variant_named(const char *name) {
    const Variant *candidates[] = {has_avx512() ? avx512() : nullptr, has_avx2() ? avx2() : nullptr, portable()};
    for (const Variant *candidate : candidates) {
        if (candidate != nullptr && (*name == '\0' || std::strcmp(candidate->name, name) == 0)) return candidate;
    }
    return nullptr;
}

}  // namespace stead::bits
