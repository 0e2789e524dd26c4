// Runs every variant of the bit kernels over odd sizes, to be built with sanitizers (test_bits_sanitized.py does). All
// arrays lie on the heap and are exactly as long as the kernels may touch. Every variant gives what the portable one
// gives, whose planes are compared with bits picked one by one. Prints how many variants ran.

#include "bits_aes.hpp"
#include "bits_kernels.hpp"

#include <cstdio>
#include <cstdlib>
#include <random>
#include <utility>
#include <vector>

using namespace stead::bits;

namespace {

std::mt19937_64 generator(20240607);

template <class T = Word>
std::vector<T> some(Size size) {
    std::vector<T> values(size);
    for (T &value : values) value = static_cast<T>(generator());
    values.shrink_to_fit();
    return values;
}

void expect(bool condition, const char *what, const Variant &variant, Size size) {
    if (condition) return;
    std::fprintf(stderr, "wrong: %s, %s, %zu\n", what, variant.name, size);
    std::exit(1);
}

Rows<const Word> rows(const std::vector<Word> &planes, Size words) { return {planes.data(), static_cast<Offset>(words)}; }
Rows<Word> rows(std::vector<Word> &planes, Size words) { return {planes.data(), static_cast<Offset>(words)}; }

void check_planes(const Variant &variant, const Variant &plain, Size size, Size width) {
    const Size words = words_of(size);
    const auto values = some(size), addend = some(size);
    for (const bool adds : {false, true}) {
        std::vector<Word> got(width * words, 7), expected(width * words, 9), back(size, 5);
        Packing job{values.data(), adds ? addend.data() : nullptr, size, width, adds ? ~Word{0} : 0, rows(got, words)};
        variant.to_planes(job, {0, words});
        job.planes = rows(expected, words);
        plain.to_planes(job, {0, words});
        expect(got == expected, "to_planes", variant, size);
        for (Size i = 0; i < size; ++i) {
            const Word value = values[i] + (adds ? addend[i] : 0);
            for (Size j = 0; j < width; ++j) {
                const Word bit = expected[j * words + i / kWordBits] >> (i % kWordBits) & 1;
                expect(bit == ((value >> j & 1) ^ Word{adds}), "a bit", variant, size);
            }
        }
        if (adds) continue;
        variant.from_planes(rows(std::as_const(got), words), width, back.data(), size, {0, words});
        const Word mask = width == kWordBits ? ~Word{0} : (Word{1} << width) - 1;
        for (Size i = 0; i < size; ++i) expect(back[i] == (values[i] & mask), "from_planes", variant, size);
        for (Size j = 0; j < width; ++j) {
            variant.unpack(got.data() + j * words, back.data(), {0, size});
            for (Size i = 0; i < size; ++i) expect(back[i] == (values[i] >> j & 1), "unpack", variant, size);
        }
    }
}

template <class Real>
void check_numbers(const Variant &variant, Size size, bool (*encode)(const Real *, double, Word *, Range),
                   bool (*plain_encode)(const Real *, double, Word *, Range)) {
    std::vector<Real> numbers(size);
    for (Real &number : numbers) number = static_cast<Real>(static_cast<std::int64_t>(generator()) >> 30);
    std::vector<Word> got(size), expected(size);
    const bool fits = encode(numbers.data(), 65536.0, got.data(), {0, size});
    expect(fits && plain_encode(numbers.data(), 65536.0, expected.data(), {0, size}), "a number fits", variant, size);
    expect(got == expected, "encode", variant, size);
    if (size == 0) return;
    for (const double wrong : {1e300 * 1e300, -1e300 * 1e300, (1e300 * 1e300) * 0.0, 0x1p46, -0x1p46}) {
        numbers[generator() % size] = static_cast<Real>(wrong);
        expect(!encode(numbers.data(), 65536.0, got.data(), {0, size}), "a number that does not fit", variant, size);
    }
}

void check_fixed(const Variant &variant, const Variant &plain, Size size) {
    check_numbers<double>(variant, size, variant.encode64, plain.encode64);
    check_numbers<float>(variant, size, variant.encode32, plain.encode32);
    const auto ring = some(size);
    std::vector<double> wide(size), wide_expected(size);
    std::vector<float> thin(size), thin_expected(size);
    variant.decode64(ring.data(), 0x1p-16, wide.data(), {0, size});
    plain.decode64(ring.data(), 0x1p-16, wide_expected.data(), {0, size});
    variant.decode32(ring.data(), 0x1p-16f, thin.data(), {0, size});
    plain.decode32(ring.data(), 0x1p-16f, thin_expected.data(), {0, size});
    expect(wide == wide_expected && thin == thin_expected, "decode", variant, size);
}

template <class N>
void check_values(const Variant &variant, const Variant &plain, Size size,
                  void (*ByWidth<Truncation>::*of_truncation)(const Truncation &, Range),
                  void (*ByWidth<Selection>::*of_selection)(const Selection &, Range),
                  void (*ByWidth<Dealing>::*of_dealing)(const Dealing &, Range)) {
    const auto chosen = some(words_of(size)), other = some(words_of(size));
    const auto m = some(size), rest = some(size), bit = some(size), bit_rest = some(size), u = some(size);
    const auto wrap = some<N>(size), bit_wrap = some<N>(size);
    for (const bool first : {false, true}) {
        std::vector<Word> got(size), expected(size);
        Truncation cut{m.data(), rest.data(), u.data(), wrap.data(), got.data(), 16, first};
        (variant.truncate_part.*of_truncation)(cut, {0, size});
        cut.out = expected.data();
        (plain.truncate_part.*of_truncation)(cut, {0, size});
        expect(got == expected, "truncate_part", variant, size);
        Selection choice{chosen.data(), m.data(),        rest.data(), bit.data(), bit_rest.data(), u.data(),
                         wrap.data(),   bit_wrap.data(), got.data(),  16,         first};
        const auto both = [&](auto run, const char *what) {
            choice.out = got.data();
            run(variant);
            choice.out = expected.data();
            run(plain);
            expect(got == expected, what, variant, size);
        };
        both([&](const Variant &v) { (v.select_truncate_part.*of_selection)(choice, {0, size}); }, "select_truncate_part");
        both([&](const Variant &v) { v.select_part(choice, {0, size}); }, "select_part");
        both([&](const Variant &v) { v.inject_part(choice, {0, size}); }, "inject_part");
    }
    auto q = some(size), b = some(size), r = some(size), q_plain = q, b_plain = b, r_plain = r;
    auto w = wrap, bw = bit_wrap, w_plain = wrap, bw_plain = bit_wrap;
    const Dealing mine{m.data(), u.data(), chosen.data(), other.data(), q.data(), b.data(), r.data(), w.data(), bw.data(), 16};
    const Dealing theirs{m.data(),       u.data(),       chosen.data(),  other.data(),    q_plain.data(),
                         b_plain.data(), r_plain.data(), w_plain.data(), bw_plain.data(), 16};
    const auto same = [&] { return q == q_plain && b == b_plain && r == r_plain && w == w_plain && bw == bw_plain; };
    (variant.deal_select_truncate.*of_dealing)(mine, {0, size});
    (plain.deal_select_truncate.*of_dealing)(theirs, {0, size});
    expect(same(), "deal_select_truncate", variant, size);
    (variant.deal_truncate.*of_dealing)(mine, {0, size});
    (plain.deal_truncate.*of_dealing)(theirs, {0, size});
    expect(same(), "deal_truncate", variant, size);
    variant.deal_select(mine, {0, size});
    plain.deal_select(theirs, {0, size});
    expect(same(), "deal_select", variant, size);
}

void check_tree(const Variant &variant, const Variant &plain, Size words, Size depth) {
    const Size groups = 3, subsets = (Size{1} << depth) - 1 - depth, positions = groups * depth;
    const auto n = some(positions * words), r = some(positions * words), x = some(positions * words), y = some(positions * words);
    const auto products = some(subsets * groups * words), dealt = some(positions * words);
    for (const bool flag : {false, true}) {
        std::vector<Word> got(positions * words, 3), expected(positions * words, 3);
        And both{positions, rows(n, words), rows(r, words), rows(x, words), rows(y, words), rows(dealt, words), rows(got, words), flag};
        variant.masked_and(both, {0, words});
        both.out = rows(expected, words);
        plain.masked_and(both, {0, words});
        expect(got == expected, "masked_and", variant, words);
        MaskProduct product{positions, rows(n, words), rows(r, words), rows(x, words), rows(y, words), rows(got, words)};
        variant.mask_product(product, {0, words});
        product.out = rows(expected, words);
        plain.mask_product(product, {0, words});
        expect(got == expected, "mask_product", variant, words);
        auto out = products, out_expected = products;
        Products sets{groups, depth, rows(n, words), rows(out, words), flag};
        variant.subset_products(sets, {0, words});
        sets.out = rows(out_expected, words);
        plain.subset_products(sets, {0, words});
        expect(out == out_expected, "subset_products", variant, words);
        for (const bool last : {false, true}) {
            for (int wanted = 1; wanted <= 3; ++wanted) {
                const Size count = (last ? groups : positions) * words;
                std::vector<Word> g(count, 1), p(count, 2), g_expected(count, 1), p_expected(count, 2);
                const auto fold = [&](const Variant &v, std::vector<Word> &borrow, std::vector<Word> &equal) {
                    const Rows<Word> none{nullptr, 0};
                    v.fold_groups({groups, depth, rows(n, words), rows(r, words), rows(products, words),
                                   wanted & 1 ? rows(borrow, words) : none, wanted & 2 ? rows(equal, words) : none, flag, last},
                                  {0, words});
                };
                fold(variant, g, p);
                fold(plain, g_expected, p_expected);
                expect(g == g_expected && p == p_expected, "fold_groups", variant, words);
            }
        }
    }
}

// Draws of any size are those of one long draw.
void check_keystream(const Variant &variant) {
    const auto key = some<std::uint8_t>(kKeyBytes), zero = std::vector<std::uint8_t>(kCounterBytes);
    std::vector<Word> whole(301);
    keystream({key.data(), zero.data(), 0, Combine::kDraw, nullptr, whole.data(), whole.size()});
    for (const Size size : {0, 1, 2, 63, 64, 65, 127, 128, 129, 300}) {
        for (const Size skip : {0, 1}) {
            const auto values = some(size);
            std::vector<Word> drawn(size), added(size), taken(size);
            keystream({key.data(), zero.data(), skip, Combine::kDraw, nullptr, drawn.data(), size});
            keystream({key.data(), zero.data(), skip, Combine::kXor, values.data(), added.data(), size});
            keystream({key.data(), zero.data(), skip, Combine::kSubtract, values.data(), taken.data(), size});
            for (Size i = 0; i < size; ++i) {
                const Word word = whole[i + skip];
                expect(drawn[i] == word && added[i] == (values[i] ^ word) && taken[i] == values[i] - word, "keystream", variant, i);
            }
        }
    }
}

void check(const Variant &variant, const Variant &plain) {
    for (const Size size : {0, 1, 2, 63, 64, 65, 511, 512, 513, 2047, 2049, 2600}) {
        for (const Size width : {0, 1, 7, 8, 33, 64}) check_planes(variant, plain, size, width);
        check_fixed(variant, plain, size);
        using T = ByWidth<Truncation>;
        using S = ByWidth<Selection>;
        using D = ByWidth<Dealing>;
        check_values<std::uint16_t>(variant, plain, size, &T::two, &S::two, &D::two);
        check_values<std::uint32_t>(variant, plain, size, &T::four, &S::four, &D::four);
        check_values<Word>(variant, plain, size, &T::eight, &S::eight, &D::eight);
    }
    for (const Size words : {1, 7, 8, 9, 16, 21}) {
        for (const Size depth : {1, 2, 3, 4}) check_tree(variant, plain, words, depth);
    }
}

}  // namespace

int main() {
    const Variant *plain = variant_named("portable");
    int ran = 0;
    for (const char *name : {"portable", "avx2", "avx512"}) {
        const Variant *variant = variant_named(name);
        if (variant == nullptr) continue;
        check(*variant, *plain);
        ++ran;
    }
    if (keystream_runs()) check_keystream(*plain);
    std::printf("%d variants\n", ran);
    return 0;
}
