// Runs every variant of the ring kernels over odd shapes, to be built with sanitizers (test_linear_sanitized.py does).
// Operands lie on the heap, or end or begin at a page that must not be touched: a masked load, which no sanitizer
// sees, faults there. Results are compared with sums written out.

#include "ring_convolution.hpp"
#include "ring_product.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

using namespace stead::ring;

namespace {

enum class Place { kHeap, kBeforeGuard, kBehindGuard };

std::mt19937_64 generator(20240607);

Offset among(Offset least, Offset most) {
    return least + static_cast<Offset>(generator() % static_cast<std::uint64_t>(most - least + 1));
}

void expect(bool condition, const char *what) {
    if (condition) return;
    std::fprintf(stderr, "wrong: %s\n", what);
    std::exit(1);
}

// Exactly `size` random elements.
template <class T>
class Elements {
public:
    Elements(Offset size, Place place) : size_(size), place_(place) {
        const Size bytes = static_cast<Size>(size) * sizeof(T);
        const Size page = static_cast<Size>(sysconf(_SC_PAGESIZE));
        if (place == Place::kHeap) {
            data = new T[static_cast<Size>(size)];
        } else {
            const Size inner = std::max<Size>((bytes + page - 1) / page, 1) * page;
            mapped_ = inner + 2 * page;
            void *memory = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            expect(memory != MAP_FAILED, "mmap");
            start_ = static_cast<char *>(memory);
            expect(mprotect(start_ + page, inner, PROT_READ | PROT_WRITE) == 0, "mprotect");
            data = reinterpret_cast<T *>(start_ + page + (place == Place::kBeforeGuard ? inner - bytes : 0));
        }
        for (Offset i = 0; i < size; ++i) data[i] = static_cast<T>(generator());
    }
    Elements(const Elements &) = delete;
    Elements &operator=(const Elements &) = delete;
    ~Elements() {
        if (place_ == Place::kHeap) {
            delete[] data;
        } else {
            munmap(start_, mapped_);
        }
    }

    std::vector<T> copy() const { return std::vector<T>(data, data + size_); }
    bool is(const std::vector<T> &other) const { return std::equal(other.begin(), other.end(), data); }

    T *data = nullptr;

private:
    Offset size_;
    Place place_;
    char *start_ = nullptr;
    Size mapped_ = 0;
};

template <class T>
void check_matmul(const Variant<T> &variant, Place place, Offset m, Offset k, Offset n, Size threads) {
    const bool turned_a = among(0, 1);
    const bool turned_b = among(0, 1);
    const bool accumulate = among(0, 1);
    Elements<T> a(m * k, place), b(k * n, place), plus_a(m * k, place), plus_b(k * n, place), c(m * n, place);
    const T *add_a = among(0, 1) ? plus_a.data : nullptr;
    const T *add_b = among(0, 1) ? plus_b.data : nullptr;
    const auto at_a = [&](Offset i, Offset j) { return turned_a ? j * m + i : i * k + j; };
    const auto at_b = [&](Offset i, Offset j) { return turned_b ? j * k + i : i * n + j; };
    std::vector<T> wanted = c.copy();
    for (Offset i = 0; i < m; ++i) {
        for (Offset j = 0; j < n; ++j) {
            T sum = accumulate ? wanted[i * n + j] : 0;
            for (Offset l = 0; l < k; ++l) {
                const T left = a.data[at_a(i, l)] + (add_a ? add_a[at_a(i, l)] : 0);
                const T right = b.data[at_b(l, j)] + (add_b ? add_b[at_b(l, j)] : 0);
                sum += left * right;
            }
            wanted[i * n + j] = sum;
        }
    }
    const auto size = [](Offset x) { return static_cast<Size>(x); };
    const Axis rows = Axis::strided(size(m), turned_a ? 1 : k);
    const Axis left_depth = Axis::strided(size(k), turned_a ? m : 1);
    const Axis right_depth = Axis::strided(size(k), turned_b ? 1 : n);
    const Axis columns = Axis::strided(size(n), turned_b ? k : 1);
    const Axis out_rows = Axis::strided(size(m), n);
    const Axis out_columns = Axis::strided(size(n), 1);
    multiply<T>({{{a.data, add_a, &rows, &left_depth},
                  {b.data, add_b, &columns, &right_depth},
                  c.data,
                  &out_rows,
                  &out_columns,
                  accumulate}},
                variant, threads);
    expect(c.is(wanted), "matmul");
}

Geometry random_geometry() {
    while (true) {
        Geometry g{};
        g.count = among(0, 2);
        g.groups = among(1, 3);
        g.channels = g.groups * among(1, 4);
        g.outputs = g.groups * among(1, 9);
        g.image = {among(1, 14), among(1, 14)};
        g.kernel = {among(1, 4), among(1, 4)};
        g.stride = {among(1, 3), among(1, 3)};
        g.padding = {among(0, 4), among(0, 4)};
        g.dilation = {among(1, 3), among(1, 3)};
        const Offset tall = g.image.y + 2 * g.padding.y - g.dilation.y * (g.kernel.y - 1) - 1;
        const Offset wide = g.image.x + 2 * g.padding.x - g.dilation.x * (g.kernel.x - 1) - 1;
        if (tall < 0 || wide < 0) continue;
        g.places = {tall / g.stride.y + 1, wide / g.stride.x + 1};
        return g;
    }
}

// Calls use(image element, weight, result) for every product of a convolution.
template <class Use>
void each_product(const Geometry &g, Use use) {
    const Offset channels = g.channels / g.groups;
    const Offset outputs = g.outputs / g.groups;
    for (Offset index = 0; index < g.count * g.outputs * g.places.y * g.places.x; ++index) {
        const Offset x = index % g.places.x;
        const Offset y = index / g.places.x % g.places.y;
        const Offset o = index / (g.places.x * g.places.y) % g.outputs;
        const Offset n = index / (g.places.x * g.places.y * g.outputs);
        for (Offset tap = 0; tap < channels * g.kernel.y * g.kernel.x; ++tap) {
            const Offset j = tap % g.kernel.x;
            const Offset i = tap / g.kernel.x % g.kernel.y;
            const Offset c = o / outputs * channels + tap / (g.kernel.x * g.kernel.y);
            const Offset down = y * g.stride.y + i * g.dilation.y - g.padding.y;
            const Offset across = x * g.stride.x + j * g.dilation.x - g.padding.x;
            if (down < 0 || down >= g.image.y || across < 0 || across >= g.image.x) continue;
            use(((n * g.channels + c) * g.image.y + down) * g.image.x + across,
                o * channels * g.kernel.y * g.kernel.x + tap, index);
        }
    }
}

template <class T>
void check_convolution(const Variant<T> &variant, Place place) {
    const Geometry g = random_geometry();
    const Offset image_elements = g.count * g.channels * g.image.y * g.image.x;
    const Offset weight_elements = g.outputs * (g.channels / g.groups) * g.kernel.y * g.kernel.x;
    const Offset result_elements = g.count * g.outputs * g.places.y * g.places.x;
    Elements<T> x(image_elements, place), w(weight_elements, place), r(result_elements, place);
    Elements<T> plus_x(image_elements, place), plus_w(weight_elements, place), plus_r(result_elements, place);
    const Terms<T> images{x.data, among(0, 1) ? plus_x.data : nullptr};
    const Terms<T> weights{w.data, among(0, 1) ? plus_w.data : nullptr};
    const Terms<T> results{r.data, among(0, 1) ? plus_r.data : nullptr};
    const auto value = [](Terms<T> terms, Offset at) {
        return static_cast<T>(terms.data[at] + (terms.addend ? terms.addend[at] : 0));
    };
    const bool accumulate = among(0, 1);
    Elements<T> out_x(image_elements, place), out_w(weight_elements, place), out_r(result_elements, place);
    std::vector<T> wanted_x = out_x.copy(), wanted_w = out_w.copy(), wanted_r = out_r.copy();
    if (!accumulate) {
        for (std::vector<T> *wanted : {&wanted_x, &wanted_w, &wanted_r}) std::fill(wanted->begin(), wanted->end(), 0);
    }
    each_product(g, [&](Offset i, Offset j, Offset k) {
        wanted_r[k] += value(images, i) * value(weights, j);
        wanted_x[i] += value(results, k) * value(weights, j);
        wanted_w[j] += value(results, k) * value(images, i);
    });
    convolve(g, images, weights, Result<T>{out_r.data, accumulate}, variant, 1);
    input_gradient(g, results, weights, Result<T>{out_x.data, accumulate}, variant, 1);
    weight_gradient(g, images, results, Result<T>{out_w.data, accumulate}, variant, 1);
    expect(out_r.is(wanted_r), "convolve");
    expect(out_x.is(wanted_x), "input_gradient");
    expect(out_w.is(wanted_w), "weight_gradient");
}

template <class T>
int check_ring(int rounds) {
    int checked = 0;
    for (const char *name : {"avx512", "avx2", "portable"}) {
        const Variant<T> *variant = variant_named<T>(name);
        if (variant == nullptr) continue;
        for (int round = 0; round < rounds; ++round) {
            const Place place = static_cast<Place>(round % 3);
            check_matmul(*variant, place, among(1, 40), among(0, 40), among(1, 80), 1);
            check_convolution(*variant, place);
        }
        check_matmul(*variant, Place::kHeap, 1, 300, 2100, 1);
        check_matmul(*variant, Place::kBeforeGuard, 30, 1100, 70, 3);
        check_matmul(*variant, Place::kHeap, 200, 40, 200, 3);
        ++checked;
    }
    return checked;
}

}  // namespace

int main(int count, char **arguments) {
    const int rounds = count > 1 ? std::atoi(arguments[1]) : 60;
    const int checked = check_ring<std::uint64_t>(rounds) + check_ring<std::uint32_t>(rounds);
    std::printf("%d kernels\n", checked);
    return 0;
}
