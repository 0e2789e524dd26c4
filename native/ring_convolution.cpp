// A window's element stands at (where the window begins) + (where it lies in the window): the sum of two offsets that a
// product wants. For that, images get a margin of zeros and, for a horizontal stride s, their columns are sorted by their
// remainder modulo s, so that neighbouring windows read neighbouring elements. Only so many images are copied at a time
// as fill a cache. The addend joins on the way; the margin stays zero.
//
// The gradient of the images is made phase by phase: the elements at rows y with (y + padding) mod stride = r receive
// only the window rows i with (i dilation) mod stride = r, and for these it is a convolution of stride one.

#include "ring_convolution.hpp"

#include <algorithm>

namespace stead::ring {
namespace {

constexpr Offset kCopiedBytes = Offset{8} << 20;

// How one plane is laid out anew: row y of the copy is row y - top of the image, column x likewise, zero outside.
struct Layout {
    Pair origin;   // what of the image stands at the copy's first row and column; negative for a margin
    Pair size;     // rows and columns of the copy
    Offset phases;  // columns are sorted by their remainder
    Offset every;   // only one in so many rows is read; the others stay zero
    bool copied;
    Offset pitch;
    Offset plane;

    Layout(Pair origin_, Pair size_, Pair every_, Pair image, bool must_copy)
        : origin(origin_), size(size_), phases(every_.x), every(every_.y) {
        copied = must_copy || origin.y || origin.x || phases != 1;
        pitch = copied ? (size.x + phases - 1) / phases * phases : image.x;
        plane = copied ? size.y * pitch : image.y * image.x;
    }

    Offset column(Offset x) const { return x % phases * (pitch / phases) + x / phases; }
};

template <class T>
struct Copied {
    std::vector<T> memory;
    const T *data;
    const T *addend;
};

template <class T>
void copy_row(const Layout &layout, const T *from, const T *addend, Offset width, T *to) {
    const Offset begin = std::max<Offset>(0, -layout.origin.x);
    const Offset end = std::min(layout.size.x, width - layout.origin.x);
    if (layout.phases == 1) {
        for (Offset x = begin; x < end; ++x) {
            to[x] = addend ? from[x + layout.origin.x] + addend[x + layout.origin.x] : from[x + layout.origin.x];
        }
        return;
    }
    const Offset part = layout.pitch / layout.phases;
    for (Offset phase = 0; phase < layout.phases; ++phase) {
        Offset at = (begin + layout.phases - 1 - phase) / layout.phases;
        T *out = to + phase * part;
        for (Offset x = at * layout.phases + phase; x < end; x += layout.phases, ++at) {
            const Offset source = x + layout.origin.x;
            out[at] = addend ? from[source] + addend[source] : from[source];
        }
    }
}

// `planes` planes laid out anew, or the originals where nothing has to change.
template <class T>
void lay_out(const Layout &layout, Terms<T> from, Pair image, Offset planes, Copied<T> &copied) {
    if (!layout.copied) {
        copied.data = from.data;
        copied.addend = from.addend;
        return;
    }
    copied.memory.assign(static_cast<Size>(planes * layout.plane), 0);
    const Offset begin = std::max<Offset>(0, -layout.origin.y);
    const Offset end = std::min(layout.size.y, image.y - layout.origin.y);
    for (Offset plane = 0; plane < planes; ++plane) {
        for (Offset y = begin; y < end; ++y) {
            if (y % layout.every) continue;
            const Offset row = (plane * image.y + y + layout.origin.y) * image.x;
            copy_row(layout, from.data + row, from.addend ? from.addend + row : nullptr, image.x,
                     copied.memory.data() + plane * layout.plane + y * layout.pitch);
        }
    }
    copied.data = copied.memory.data();
    copied.addend = nullptr;
}

// The images of a call, a few at a time.
template <class T, class Use>
void each_chunk(Offset count, Offset image_elements, Use use) {
    const Offset bytes = std::max<Offset>(image_elements, 1) * static_cast<Offset>(sizeof(T));
    const Offset most = std::max<Offset>(kCopiedBytes / bytes, 1);
    for (Offset first = 0; first < count; first += most) use(first, std::min(most, count - first));
}

template <class T>
Terms<T> moved(Terms<T> terms, Offset by) {
    return {terms.data + by, terms.addend ? terms.addend + by : nullptr};
}

Axis grid(Offset a, Offset step_a, Offset b, Offset step_b, Offset c, Offset step_c) {
    Axis axis;
    axis.offsets.reserve(static_cast<Size>(a * b * c));
    for (Offset i = 0; i < a; ++i) {
        for (Offset j = 0; j < b; ++j) {
            for (Offset k = 0; k < c; ++k) axis.offsets.push_back(i * step_a + j * step_b + k * step_c);
        }
    }
    axis.measure();
    return axis;
}

Layout windows_layout(const Geometry &g) {
    const Pair size{(g.places.y - 1) * g.stride.y + (g.kernel.y - 1) * g.dilation.y + 1,
                    (g.places.x - 1) * g.stride.x + (g.kernel.x - 1) * g.dilation.x + 1};
    return Layout({-g.padding.y, -g.padding.x}, size, {g.kernel.y == 1 ? g.stride.y : 1, g.stride.x}, g.image, false);
}

// Where the windows of one group begin, for `count` images.
Axis window_starts(const Geometry &g, const Layout &layout, Offset count) {
    return grid(count, g.channels * layout.plane, g.places.y, g.stride.y * layout.pitch, g.places.x, 1);
}

// Where the elements of a window lie.
Axis window_elements(const Geometry &g, const Layout &layout) {
    Axis axis;
    for (Offset c = 0; c < g.channels / g.groups; ++c) {
        for (Offset i = 0; i < g.kernel.y; ++i) {
            for (Offset j = 0; j < g.kernel.x; ++j) {
                axis.offsets.push_back(c * layout.plane + i * g.dilation.y * layout.pitch +
                                       layout.column(j * g.dilation.x));
            }
        }
    }
    axis.measure();
    return axis;
}

// One phase of the images' gradient along one axis: which window elements meet it, and where.
struct Phase {
    Offset first;                // place t = 0 of the phase in the image
    Offset count;                // how many places
    std::vector<Offset> taps;    // window elements
    std::vector<Offset> shifts;  // which result they meet at t = 0
};

std::vector<Phase> phases_of(Offset image, Offset kernel, Offset stride, Offset padding, Offset dilation) {
    std::vector<Phase> phases;
    for (Offset remainder = 0; remainder < std::min(stride, image); ++remainder) {
        Phase phase;
        phase.first = remainder;
        phase.count = (image - remainder + stride - 1) / stride;
        for (Offset i = 0; i < kernel; ++i) {
            const Offset distance = remainder + padding - i * dilation;  // = stride * result
            if (distance % stride == 0) {
                phase.taps.push_back(i);
                phase.shifts.push_back(distance / stride);
            }
        }
        phases.push_back(std::move(phase));
    }
    return phases;
}

// The first and the number of results that any phase meets.
struct Reach {
    Offset first = 0;
    Offset size = 1;

    explicit Reach(const std::vector<Phase> &phases) {
        Offset end = 1;
        for (const Phase &phase : phases) {
            for (const Offset shift : phase.shifts) {
                first = std::min(first, shift);
                end = std::max(end, shift + phase.count);
            }
        }
        size = end - first;
    }
};

// The axes of one product of the images' gradient; they outlive the product.
struct PhaseAxes {
    Axis weight_depth;
    Axis result_starts;
    Axis result_depth;
    Axis image_columns;

    PhaseAxes(const Geometry &g, const Layout &layout, const Phase &rows, const Phase &columns, Offset count) {
        const Offset window = g.kernel.y * g.kernel.x;
        const Offset outputs = g.outputs / g.groups;
        for (Offset o = 0; o < outputs; ++o) {
            for (Size i = 0; i < rows.taps.size(); ++i) {
                for (Size j = 0; j < columns.taps.size(); ++j) {
                    weight_depth.offsets.push_back(o * (g.channels / g.groups) * window +
                                                   rows.taps[i] * g.kernel.x + columns.taps[j]);
                    result_depth.offsets.push_back(o * layout.plane +
                                                   (rows.shifts[i] - layout.origin.y) * layout.pitch +
                                                   columns.shifts[j] - layout.origin.x);
                }
            }
        }
        weight_depth.measure();
        result_depth.measure();
        result_starts = grid(count, g.outputs * layout.plane, rows.count, layout.pitch, columns.count, 1);
        image_columns = grid(count, g.channels * g.image.y * g.image.x, rows.count, g.stride.y * g.image.x,
                             columns.count, g.stride.x);
        for (Offset &at : image_columns.offsets) at += rows.first * g.image.x + columns.first;
    }
};

}  // namespace

template <class T>
void convolve(const Geometry &g, Terms<T> images, Terms<T> weights, Result<T> results, const Variant<T> &variant,
              Size threads) {
    const Layout layout = windows_layout(g);
    const Offset image_size = g.image.y * g.image.x;
    const Offset places = g.places.y * g.places.x;
    const Offset channels = g.channels / g.groups;
    const Offset outputs = g.outputs / g.groups;
    const Offset window = channels * g.kernel.y * g.kernel.x;
    const Axis elements = window_elements(g, layout);
    const Axis rows = Axis::strided(static_cast<Size>(outputs), window);
    const Axis depth = Axis::strided(static_cast<Size>(window), 1);
    const Axis result_rows = Axis::strided(static_cast<Size>(outputs), places);
    Copied<T> copied;
    each_chunk<T>(g.count, g.channels * layout.plane, [&](Offset first, Offset count) {
        lay_out(layout, moved(images, first * g.channels * image_size), g.image, count * g.channels, copied);
        const Axis starts = window_starts(g, layout, count);
        const Axis result_columns = grid(count, g.outputs * places, 1, 0, places, 1);
        std::vector<Product<T>> products;
        for (Offset group = 0; group < g.groups; ++group) {
            const Terms<T> left = moved(weights, group * outputs * window);
            const Terms<T> right = moved<T>({copied.data, copied.addend}, group * channels * layout.plane);
            products.push_back({{left.data, left.addend, &rows, &depth},
                                {right.data, right.addend, &starts, &elements},
                                results.data + (first * g.outputs + group * outputs) * places,
                                &result_rows,
                                &result_columns,
                                results.accumulate});
        }
        multiply(products, variant, threads);
    });
}

template <class T>
void weight_gradient(const Geometry &g, Terms<T> images, Terms<T> results, Result<T> weights,
                     const Variant<T> &variant, Size threads) {
    const Layout layout = windows_layout(g);
    const Offset image_size = g.image.y * g.image.x;
    const Offset places = g.places.y * g.places.x;
    const Offset channels = g.channels / g.groups;
    const Offset outputs = g.outputs / g.groups;
    const Offset window = channels * g.kernel.y * g.kernel.x;
    const Axis elements = window_elements(g, layout);
    const Axis rows = Axis::strided(static_cast<Size>(outputs), places);
    const Axis weight_rows = Axis::strided(static_cast<Size>(outputs), window);
    const Axis weight_columns = Axis::strided(static_cast<Size>(window), 1);
    Copied<T> copied;
    bool accumulate = weights.accumulate;
    if (g.count == 0 && !accumulate) std::fill_n(weights.data, g.outputs * window, T{0});
    each_chunk<T>(g.count, g.channels * layout.plane, [&](Offset first, Offset count) {
        lay_out(layout, moved(images, first * g.channels * image_size), g.image, count * g.channels, copied);
        const Axis starts = window_starts(g, layout, count);
        const Axis depth = grid(count, g.outputs * places, 1, 0, places, 1);
        std::vector<Product<T>> products;
        for (Offset group = 0; group < g.groups; ++group) {
            const Terms<T> left = moved(results, (first * g.outputs + group * outputs) * places);
            const Terms<T> right = moved<T>({copied.data, copied.addend}, group * channels * layout.plane);
            products.push_back({{left.data, left.addend, &rows, &depth},
                                {right.data, right.addend, &elements, &starts},
                                weights.data + group * outputs * window,
                                &weight_rows,
                                &weight_columns,
                                accumulate});
        }
        multiply(products, variant, threads);
        accumulate = true;
    });
}

template <class T>
void input_gradient(const Geometry &g, Terms<T> results, Terms<T> weights, Result<T> images,
                    const Variant<T> &variant, Size threads) {
    const std::vector<Phase> row_phases = phases_of(g.image.y, g.kernel.y, g.stride.y, g.padding.y, g.dilation.y);
    const std::vector<Phase> column_phases = phases_of(g.image.x, g.kernel.x, g.stride.x, g.padding.x, g.dilation.x);
    const Reach tall(row_phases);
    const Reach wide(column_phases);
    const bool margin = tall.size > g.places.y || wide.size > g.places.x;
    const Layout layout({tall.first, wide.first}, {tall.size, wide.size}, {1, 1}, g.places, margin);
    const Offset image_size = g.image.y * g.image.x;
    const Offset places = g.places.y * g.places.x;
    const Offset channels = g.channels / g.groups;
    const Offset outputs = g.outputs / g.groups;
    const Offset window = g.kernel.y * g.kernel.x;
    const Axis rows = Axis::strided(static_cast<Size>(channels), window);
    const Axis image_rows = Axis::strided(static_cast<Size>(channels), image_size);
    Copied<T> copied;
    each_chunk<T>(g.count, g.outputs * layout.plane, [&](Offset first, Offset count) {
        lay_out(layout, moved(results, first * g.outputs * places), g.places, count * g.outputs, copied);
        for (const Phase &tall_phase : row_phases) {
            for (const Phase &wide_phase : column_phases) {
                const PhaseAxes axes(g, layout, tall_phase, wide_phase, count);
                std::vector<Product<T>> products;
                for (Offset group = 0; group < g.groups; ++group) {
                    const Terms<T> left = moved(weights, group * outputs * channels * window);
                    const Terms<T> right = moved<T>({copied.data, copied.addend}, group * outputs * layout.plane);
                    products.push_back({{left.data, left.addend, &rows, &axes.weight_depth},
                                        {right.data, right.addend, &axes.result_starts, &axes.result_depth},
                                        images.data + (first * g.channels + group * channels) * image_size,
                                        &image_rows,
                                        &axes.image_columns,
                                        images.accumulate});
                }
                multiply(products, variant, threads);
            }
        }
    });
}

#define STEAD_RING_INSTANTIATE(T)                                                                                   \
    template void convolve(const Geometry &, Terms<T>, Terms<T>, Result<T>, const Variant<T> &, Size);              \
    template void input_gradient(const Geometry &, Terms<T>, Terms<T>, Result<T>, const Variant<T> &, Size);        \
    template void weight_gradient(const Geometry &, Terms<T>, Terms<T>, Result<T>, const Variant<T> &, Size);

STEAD_RING_INSTANTIATE(std::uint64_t)
STEAD_RING_INSTANTIATE(std::uint32_t)
#undef STEAD_RING_INSTANTIATE

}  // namespace stead::ring
