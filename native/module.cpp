#include <nanobind/nanobind.h>

#include "bounding.hpp"
#include "samplers.hpp"

NB_MODULE(_native, m) {
    m.doc() = "Kernels of stead: no policy, no I/O, no state. Each has a NumPy reference with the same results.";
    stead::bind_samplers(m);
    stead::bind_bounding(m);
}
