// Exact discrete noise from a keystream.
#pragma once

#include <nanobind/nanobind.h>

namespace stead {

// Adds `fill_discrete` to the module.
void bind_samplers(nanobind::module_ &module);

}  // namespace stead
