// Which rows each person may contribute.
#pragma once

#include <nanobind/nanobind.h>

namespace stead {

// Adds `bounded` and `bounded_sums` to the module.
void bind_bounding(nanobind::module_ &module);

}  // namespace stead
