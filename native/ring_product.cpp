#include "ring_product.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <system_error>
#include <thread>

namespace stead::ring {
namespace {

// Blocks, by measurement on 1 MiB of L2: bytes of a step in depth, and of the packed panels that share the cache.
constexpr Size kMostDepth = 512;
constexpr Size kRightBytes = Size{512} << 10;
constexpr Size kLeftBytes = Size{256} << 10;
constexpr Size kMostLeftRows = 2048;
// Below this many products on each thread, starting a thread costs more than it gains.
constexpr Size kProductsWorthAThread = Size{1} << 19;
constexpr Size kMostThreads = 256;
constexpr std::align_val_t kAlignment{64};

struct Range {
    Size begin;
    Size end;
    Size size() const { return end - begin; }
};

Size rounded_up(Size size, Size unit) { return (size + unit - 1) / unit * unit; }

// `size` in as few parts as `most` allows, all of nearly the same size, and multiples of `unit`.
Size balanced(Size size, Size most, Size unit) {
    most = std::max(most / unit * unit, unit);
    const Size parts = std::max<Size>((size + most - 1) / most, 1);
    return std::max(rounded_up((size + parts - 1) / parts, unit), unit);
}

struct Freed {
    void operator()(void *memory) const { ::operator delete(memory, kAlignment); }
};

template <class T>
std::unique_ptr<T[], Freed> aligned(Size size) {
    return std::unique_ptr<T[], Freed>(static_cast<T *>(::operator new(std::max<Size>(size, 1) * sizeof(T), kAlignment)));
}

struct Blocks {
    Size rows;        // of the left operand, packed at a time
    Size inner_rows;  // of these, multiplied while they stay in the cache
    Size depth;
    Size columns;

    template <class T>
    static Blocks of(const Variant<T> &variant, Size rows, Size depth, Size columns) {
        Blocks blocks{};
        const Size panel = variant.vectors * variant.lanes;
        blocks.depth = balanced(depth, kMostDepth * 8 / sizeof(T), 8);
        blocks.rows = balanced(rows, kMostLeftRows, variant.rows);
        blocks.inner_rows = balanced(std::min(rows, blocks.rows), kLeftBytes / (blocks.depth * sizeof(T)), variant.rows);
        blocks.columns = balanced(columns, kRightBytes / (blocks.depth * sizeof(T)), panel);
        // Rows are packed once for all columns; with a single block of columns, just before they are needed.
        if (columns <= blocks.columns) blocks.rows = blocks.inner_rows;
        return blocks;
    }
};

// What one thread needs beside operands and result.
template <class T>
struct Scratch {
    std::unique_ptr<T[], Freed> left;
    std::unique_ptr<T[], Freed> right;

    Scratch(const Variant<T> &variant, const Blocks &blocks, Size whole_depth)
        // A product of one row keeps that row here.
        : left(aligned<T>(std::max(blocks.rows * blocks.depth, whole_depth))),
          // The last panel may be followed by one narrower vector and a thin one.
          right(aligned<T>((blocks.columns + variant.lanes) * blocks.depth)) {}
};

// A panel of the right operand: whole vectors, or a thin rest.
struct Panel {
    Size begin;
    Size columns;  // that exist
    Size width;    // as packed
    bool thin;
};

template <class T>
Panel panel_at(const Variant<T> &variant, Size begin, Size end) {
    const Size full = variant.vectors * variant.lanes;
    const Size left = end - begin;
    if (left >= full) return {begin, full, full, false};
    const Size vectors = left / variant.lanes;
    if (variant.thin == nullptr) {
        const Size width = rounded_up(left, variant.lanes);
        return {begin, left, width, false};
    }
    if (vectors) return {begin, vectors * variant.lanes, vectors * variant.lanes, false};
    return {begin, left, variant.lanes, true};
}

template <class T>
void pack_side(const Variant<T> &variant, const Side<T> &side, Range outer, Size width, Range depth, T *packed) {
    variant.pack({.source = side.data,
                  .addend = side.addend,
                  .lane = side.outer->offsets.data() + outer.begin,
                  .lanes = outer.size(),
                  .width = width,
                  .depth = side.depth->offsets.data() + depth.begin,
                  .depths = depth.size(),
                  // By the share of neighbours along either axis.
                  .along_depth = side.depth->neighbours * side.outer->size() >
                                 side.outer->neighbours * side.depth->size(),
                  .packed = packed});
}

// One tile of the result: straight into its place if that is contiguous, else through a small copy.
template <class T>
void finish_tile(const Variant<T> &variant, const Product<T> &product, Tile<T> tile, Size row, const Panel &panel) {
    const Offset *rows = product.c_rows->offsets.data() + row;
    const Offset *columns = product.c_columns->offsets.data() + panel.begin;
    T copy[kMostRows * kMostColumns];
    if (panel.thin) {
        tile.c = copy;
        tile.row = static_cast<Offset>(variant.rows);
        tile.vectors = panel.columns;
        variant.thin(tile);
        for (Size r = 0; r < tile.rows; ++r) {
            for (Size l = 0; l < panel.columns; ++l) {
                T &place = product.c[rows[r] + columns[l]];
                const T sum = copy[l * variant.rows + r];
                place = tile.accumulate ? place + sum : sum;
            }
        }
        return;
    }
    tile.vectors = panel.width / variant.lanes;
    const bool regular = tile.rows < 3 || rows[tile.rows - 1] - rows[0] ==
                                              (rows[1] - rows[0]) * static_cast<Offset>(tile.rows - 1);
    // Offsets of a result differ, and rise or fall steadily: the ends tell whether all are neighbours.
    const bool whole = panel.columns == panel.width &&
                       columns[panel.columns - 1] - columns[0] == static_cast<Offset>(panel.columns - 1);
    if (whole && regular) {
        tile.c = product.c + rows[0] + columns[0];
        tile.row = tile.rows > 1 ? rows[1] - rows[0] : 0;
        variant.tile(tile);
        return;
    }
    const bool accumulate = tile.accumulate;
    tile.c = copy;
    tile.row = static_cast<Offset>(panel.width);
    tile.accumulate = false;
    variant.tile(tile);
    for (Size r = 0; r < tile.rows; ++r) {
        for (Size l = 0; l < panel.columns; ++l) {
            T &place = product.c[rows[r] + columns[l]];
            const T sum = copy[r * panel.width + l];
            place = accumulate ? place + sum : sum;
        }
    }
}

template <class T>
void multiply_block(const Variant<T> &variant, const Product<T> &product, const T *left, const T *right, Range rows,
                    Range columns, Size inner_rows, Range depth) {
    const bool accumulate = product.accumulate || depth.begin > 0;
    for (Size first = rows.begin; first < rows.end; first += inner_rows) {
        const Size end = std::min(first + inner_rows, rows.end);
        const T *b = right;
        for (Size column = columns.begin; column < columns.end;) {
            const Panel panel = panel_at(variant, column, columns.end);
            for (Size row = first; row < end; row += variant.rows) {
                const Tile<T> tile{.depth = depth.size(),
                                   .a = left + (row - rows.begin) * depth.size(),
                                   .b = b,
                                   .c = nullptr,
                                   .row = 0,
                                   .rows = std::min(variant.rows, end - row),
                                   .vectors = 0,
                                   .accumulate = accumulate};
                finish_tile(variant, product, tile, row, panel);
            }
            b += panel.width * depth.size();
            column += panel.columns;
        }
    }
}

template <class T>
void pack_columns(const Variant<T> &variant, const Side<T> &side, Range columns, Range depth, T *packed) {
    for (Size column = columns.begin; column < columns.end;) {
        const Panel panel = panel_at(variant, column, columns.end);
        pack_side(variant, side, {column, column + panel.columns}, panel.width, depth, packed);
        packed += panel.width * depth.size();
        column += panel.columns;
    }
}

template <class T>
void multiply_range(const Variant<T> &variant, const Product<T> &product, Range rows, Range columns,
                    const Blocks &blocks, const Scratch<T> &scratch) {
    const Size whole_depth = product.a.depth->size();
    for (Size k = 0; k < whole_depth; k += blocks.depth) {
        const Range depth{k, std::min(k + blocks.depth, whole_depth)};
        for (Size row = rows.begin; row < rows.end; row += blocks.rows) {
            const Range some_rows{row, std::min(row + blocks.rows, rows.end)};
            for (Size r = some_rows.begin; r < some_rows.end; r += variant.rows) {
                pack_side(variant, product.a, {r, std::min(r + variant.rows, some_rows.end)}, variant.rows, depth,
                          scratch.left.get() + (r - some_rows.begin) * depth.size());
            }
            for (Size column = columns.begin; column < columns.end; column += blocks.columns) {
                const Range some_columns{column, std::min(column + blocks.columns, columns.end)};
                // If all columns are one block, it stays packed for all rows.
                if (row == rows.begin || columns.size() > blocks.columns) {
                    pack_columns(variant, product.b, some_columns, depth, scratch.right.get());
                }
                multiply_block(variant, product, scratch.left.get(), scratch.right.get(), some_rows, some_columns,
                               blocks.inner_rows, depth);
            }
        }
    }
}

// One row times a matrix needs no panels: every element of the matrix is read once, where it stands.
template <class T>
bool straight(const Product<T> &product) {
    return product.c_rows->size() == 1 && (product.b.depth->unit || product.b.outer->unit);
}

template <class T>
void multiply_row(const Variant<T> &variant, const Product<T> &product, Range columns, T *vector) {
    constexpr Size kSums = 2048;
    const Side<T> &a = product.a;
    const Side<T> &b = product.b;
    const Size depth = a.depth->size();
    for (Size k = 0; k < depth; ++k) {
        const Offset at = a.outer->offsets[0] + a.depth->offsets[k];
        vector[k] = a.addend ? a.data[at] + a.addend[at] : a.data[at];
    }
    T *c = product.c + product.c_rows->offsets[0];
    const auto put = [&](Size column, T sum) {
        T &place = c[product.c_columns->offsets[column]];
        place = product.accumulate ? place + sum : sum;
    };
    if (b.depth->unit) {
        for (Size column = columns.begin; column < columns.end; ++column) {
            const Offset at = b.outer->offsets[column] + b.depth->offsets[0];
            put(column, variant.dot(depth, vector, b.data + at, b.addend ? b.addend + at : nullptr));
        }
        return;
    }
    T sums[kSums];
    for (Size column = columns.begin; column < columns.end; column += kSums) {
        const Size size = std::min(kSums, columns.end - column);
        std::memset(sums, 0, size * sizeof(T));
        for (Size k = 0; k < depth; ++k) {
            const Offset at = b.outer->offsets[column] + b.depth->offsets[k];
            variant.axpy(size, vector[k], b.data + at, b.addend ? b.addend + at : nullptr, sums);
        }
        for (Size l = 0; l < size; ++l) put(column + l, sums[l]);
    }
}

// With one column, the transposed product has one row.
template <class T>
Product<T> turned(const Product<T> &product) {
    if (product.c_rows->size() == 1 || product.c_columns->size() != 1) return product;
    Product<T> other = product;
    std::swap(other.a, other.b);
    std::swap(other.c_rows, other.c_columns);
    return other;
}

// Part `index` of `parts` of a range, cut at multiples of `unit`.
Range part_of(Size size, Size unit, Size parts, Size index) {
    const Size units = (size + unit - 1) / unit;
    return {std::min(units * index / parts * unit, size), std::min(units * (index + 1) / parts * unit, size)};
}

template <class T>
struct Work {
    const std::vector<Product<T>> &products;
    const Variant<T> &variant;
    Blocks blocks;
    std::vector<Scratch<T>> scratch;
    Size threads;
    bool share_products;

    void run(Size index) const {
        const Size count = products.size();
        const Range mine =
            share_products ? Range{count * index / threads, count * (index + 1) / threads} : Range{0, count};
        for (Size p = mine.begin; p < mine.end; ++p) one(products[p], index);
    }

    void one(const Product<T> &product, Size index) const {
        Range rows{0, product.c_rows->size()};
        Range columns{0, product.c_columns->size()};
        const Size panel = variant.vectors * variant.lanes;
        if (!share_products && threads > 1) {
            const bool by_columns = columns.size() / panel >= rows.size() / variant.rows;
            (by_columns ? columns : rows) = by_columns ? part_of(columns.size(), panel, threads, index)
                                                       : part_of(rows.size(), variant.rows, threads, index);
        }
        if (rows.size() == 0 || columns.size() == 0) return;
        if (straight(product)) {
            multiply_row(variant, product, columns, scratch[index].left.get());
        } else {
            multiply_range(variant, product, rows, columns, blocks, scratch[index]);
        }
    }
};

template <class T>
void clear(const Product<T> &product) {
    for (const Offset row : product.c_rows->offsets) {
        for (const Offset column : product.c_columns->offsets) product.c[row + column] = 0;
    }
}

bool can_run(const char *name) {
#if defined(__x86_64__) && defined(__GNUC__)
    if (std::strcmp(name, "avx512") == 0) {
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
    }
    if (std::strcmp(name, "avx2") == 0) return __builtin_cpu_supports("avx2");
#endif
    return std::strcmp(name, "portable") == 0;
}

}  // namespace

Axis &Axis::measure() {
    neighbours = 0;
    for (Size i = 1; i < offsets.size(); ++i) neighbours += offsets[i] - offsets[i - 1] == 1;
    unit = neighbours + 1 >= offsets.size();
    return *this;
}

Axis Axis::strided(Size size, Offset stride) {
    Axis axis;
    axis.offsets.resize(size);
    for (Size i = 0; i < size; ++i) axis.offsets[i] = static_cast<Offset>(i) * stride;
    axis.measure();
    return axis;
}

template <class T>
const Variant<T> *variant_named(const char *name) {
    for (const Variant<T> *variant : {avx512<T>(), avx2<T>(), portable<T>()}) {
        if (variant && (*name == '\0' || std::strcmp(name, variant->name) == 0) && can_run(variant->name)) {
            return variant;
        }
    }
    return nullptr;
}

void run_tasks(Size count, void (*task)(void *context, Size index), void *context) {
    std::vector<std::thread> threads;
    threads.reserve(count);
    Size index = 1;
    try {
        for (; index < count; ++index) threads.emplace_back(task, context, index);
    } catch (const std::system_error &) {
        // No more threads to be had: the rest runs here.
    }
    if (count) task(context, 0);
    for (; index < count; ++index) task(context, index);
    for (std::thread &thread : threads) thread.join();
}

template <class T>
void multiply(const std::vector<Product<T>> &given, const Variant<T> &variant, Size threads) {
    std::vector<Product<T>> products;
    products.reserve(given.size());
    Size rows = 0;
    Size columns = 0;
    Size depth = 0;
    Size work = 0;
    for (const Product<T> &product : given) {
        products.push_back(turned(product));
        rows = std::max(rows, products.back().c_rows->size());
        columns = std::max(columns, products.back().c_columns->size());
        depth = std::max(depth, product.a.depth->size());
        work += product.c_rows->size() * product.c_columns->size() * product.a.depth->size();
        if (product.a.depth->size() == 0 && !product.accumulate) clear(product);
    }
    if (work == 0) return;
    threads = std::clamp<Size>(std::min(threads, work / kProductsWorthAThread), 1, kMostThreads);
    const Blocks blocks = Blocks::of(variant, rows, depth, columns);
    Work<T> shared{products, variant, blocks, {}, threads, products.size() >= threads};
    for (Size i = 0; i < threads; ++i) shared.scratch.emplace_back(variant, blocks, depth);
    run_tasks(threads, [](void *context, Size index) { static_cast<const Work<T> *>(context)->run(index); }, &shared);
}

template const Variant<std::uint64_t> *variant_named(const char *);
template const Variant<std::uint32_t> *variant_named(const char *);
template void multiply(const std::vector<Product<std::uint64_t>> &, const Variant<std::uint64_t> &, Size);
template void multiply(const std::vector<Product<std::uint32_t>> &, const Variant<std::uint32_t> &, Size);

}  // namespace stead::ring
