// The binding of the kernels of masked sharing. What each computes is said in
// src/stead/mpc/kernels/masked_reference.py.

#include "bits_arrays.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include <optional>
#include <tuple>

namespace stead::bits {
namespace {

using Read = Flat<const Word>;
using Pair = std::tuple<Plane<const Word>, Plane<const Word>>;
// Words of 2, 4 or 8 bytes.
using Narrow = nb::ndarray<nb::ro, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
// Threads and variant.
using How = std::tuple<Size, std::string>;

bool same(const Plane<const Word> &planes, Size rows, Size words) {
    return planes.shape(0) == rows && planes.shape(1) == words;
}

void bound_masked_and(const Pair &x, const Pair &y, Plane<const Word> dealt, Plane<Word> out, bool first,
                      const How &how) {
    const Variant &variant = chosen(std::get<1>(how));
    const Size rows = out.shape(0), words = out.shape(1);
    const auto &[mx, lx] = x;
    const auto &[my, ly] = y;
    for (const auto *operand : {&mx, &lx, &my, &ly, &std::as_const(dealt)}) {
        require(same(*operand, rows, words), "masked_and: the shapes differ");
    }
    const And job{rows, rows_of(mx), rows_of(lx), rows_of(my), rows_of(ly), rows_of(dealt), rows_of(out), first};
    nb::gil_scoped_release released;
    in_parts(words, kGroup, std::get<0>(how), kWordsWorthAThread, [&](Range part) { variant.masked_and(job, part); });
}

Size subsets_of(Size depth) {
    require(depth >= 1 && depth <= 4, "a group has 1 to 4 bits");
    return (Size{1} << depth) - 1 - depth;
}

void bound_subset_products(Plane<const Word> bits, Size depth, Plane<Word> out, bool combine, const How &how) {
    const Variant &variant = chosen(std::get<1>(how));
    const Size subsets = subsets_of(depth), groups = bits.shape(0) / depth, words = bits.shape(1);
    require(groups * depth == bits.shape(0) && out.shape(0) == subsets * groups && out.shape(1) == words,
            "subset_products: the shapes do not fit");
    const Products job{groups, depth, rows_of(bits), rows_of(out), combine};
    nb::gil_scoped_release released;
    in_parts(words, kGroup, std::get<0>(how), kWordsWorthAThread,
             [&](Range part) { variant.subset_products(job, part); });
}

// The operands are n, r and products.
void bound_fold_groups(const std::tuple<Plane<const Word>, Plane<const Word>, Plane<const Word>> &operands, Size depth,
                       std::optional<Plane<Word>> borrow, std::optional<Plane<Word>> equal,
                       std::tuple<bool, bool> first_and_last, const How &how) {
    const Variant &variant = chosen(std::get<1>(how));
    const auto &[n, r, products] = operands;
    const auto [first, last] = first_and_last;
    const Size subsets = subsets_of(depth), groups = n.shape(0) / depth, words = n.shape(1);
    const Size rows = last ? groups : groups * depth;
    require(groups * depth == n.shape(0) && same(r, n.shape(0), words) && same(products, subsets * groups, words),
            "fold_groups: the shapes do not fit");
    Fold job{groups, depth, rows_of(n), rows_of(r), rows_of(products), {}, {}, first, last};
    require(borrow.has_value() || equal.has_value(), "fold_groups: nothing is wanted");
    if (borrow) {
        require(borrow->shape(0) == rows && borrow->shape(1) == words, "fold_groups: the result does not fit");
        job.borrow = rows_of(*borrow);
    }
    if (equal) {
        require(equal->shape(0) == rows && equal->shape(1) == words, "fold_groups: the result does not fit");
        job.equal = rows_of(*equal);
    }
    if (groups == 0 || words == 0) return;
    nb::gil_scoped_release released;
    in_parts(words, kGroup, std::get<0>(how), kWordsWorthAThread, [&](Range part) { variant.fold_groups(job, part); });
}

void check_shift(int bits) { require(bits >= 1 && bits <= 62, "a value is shifted by 1 to 62 bits"); }

template <class... Arrays>
void check_sizes(Size size, const Arrays &...arrays) {
    require(((arrays.size() == size) && ...), "the sizes differ");
}

void check_narrow(const Narrow &array) {
    const auto type = array.dtype();
    require(type.code == static_cast<std::uint8_t>(nb::dlpack::dtype_code::UInt) && type.lanes == 1 &&
                (type.bits == 16 || type.bits == 32 || type.bits == 64),
            "narrow words are uint16, uint32 or uint64");
}

template <class Job>
auto of_width(const ByWidth<Job> &kernels, const Narrow &array) {
    check_narrow(array);
    if (array.dtype().bits == 16) return kernels.two;
    return array.dtype().bits == 32 ? kernels.four : kernels.eight;
}

void bound_truncate_part(Read m, const std::tuple<Read, Narrow> &dealt, Read u, Flat<Word> out,
                         std::tuple<int, bool> bits_and_first, const How &how) {
    const Variant &variant = chosen(std::get<1>(how));
    const auto &[quotient, wrap] = dealt;
    const auto [bits, first] = bits_and_first;
    check_shift(bits);
    check_sizes(m.size(), quotient, wrap, u, out);
    const auto kernel = of_width(variant.truncate_part, wrap);
    const Truncation job{m.data(), quotient.data(), u.data(), wrap.data(), out.data(), bits, first};
    nb::gil_scoped_release released;
    in_parts(m.size(), kWordBits, std::get<0>(how), kValuesWorthAThread, [&](Range part) { kernel(job, part); });
}

void check_plane(const Read &chosen_bits, Size size) {
    require(chosen_bits.size() >= words_of(size), "the plane is too short");
}

void bound_select_part(Read chosen_bits, const std::tuple<Read, Read> &x, const std::tuple<Read, Read> &dealt, Read u,
                       Flat<Word> out, bool first, const How &how) {
    const Variant &variant = chosen(std::get<1>(how));
    const auto &[m, l] = x;
    const auto &[bit, bit_mask] = dealt;
    check_sizes(m.size(), l, bit, bit_mask, u, out);
    check_plane(chosen_bits, m.size());
    const Selection job{chosen_bits.data(), m.data(), l.data(), bit.data(), bit_mask.data(), u.data(),
                        nullptr,            nullptr,  out.data(), 0,        first};
    nb::gil_scoped_release released;
    in_parts(m.size(), kWordBits, std::get<0>(how), kValuesWorthAThread,
             [&](Range part) { variant.select_part(job, part); });
}

void bound_select_truncate_part(Read chosen_bits, Read m, const std::tuple<Read, Narrow, Read, Read, Narrow> &dealt,
                                std::tuple<Read, Flat<Word>> u_and_out, std::tuple<int, bool> bits_and_first,
                                const How &how) {
    const Variant &variant = chosen(std::get<1>(how));
    const auto &[quotient, wrap, bit, bit_quotient, bit_wrap] = dealt;
    const auto &[u, out] = u_and_out;
    const auto [bits, first] = bits_and_first;
    check_shift(bits);
    check_sizes(m.size(), quotient, wrap, bit, bit_quotient, bit_wrap, u, out);
    check_plane(chosen_bits, m.size());
    check_narrow(bit_wrap);
    require(wrap.dtype() == bit_wrap.dtype(), "narrow words differ in width");
    const auto kernel = of_width(variant.select_truncate_part, wrap);
    const Selection job{chosen_bits.data(), m.data(),        quotient.data(), bit.data(), bit_quotient.data(), u.data(),
                        wrap.data(),        bit_wrap.data(), out.data(),      bits,       first};
    nb::gil_scoped_release released;
    in_parts(m.size(), kWordBits, std::get<0>(how), kValuesWorthAThread, [&](Range part) { kernel(job, part); });
}

void bound_inject_part(Read chosen_bits, Read bit, Read u, Flat<Word> out, bool first, const How &how) {
    const Variant &variant = chosen(std::get<1>(how));
    check_sizes(bit.size(), u, out);
    check_plane(chosen_bits, bit.size());
    Selection job{};
    job.chosen = chosen_bits.data();
    job.bit = bit.data();
    job.u = u.data();
    job.out = out.data();
    job.first = first;
    nb::gil_scoped_release released;
    in_parts(bit.size(), kWordBits, std::get<0>(how), kValuesWorthAThread,
             [&](Range part) { variant.inject_part(job, part); });
}

void bound_mask_product(const Pair &x, const Pair &y, Plane<Word> out, const How &how) {
    const Variant &variant = chosen(std::get<1>(how));
    const Size rows = out.shape(0), words = out.shape(1);
    const auto &[x1, x2] = x;
    const auto &[y1, y2] = y;
    for (const auto *operand : {&x1, &x2, &y1, &y2}) {
        require(same(*operand, rows, words), "mask_product: the shapes differ");
    }
    const MaskProduct job{rows, rows_of(x1), rows_of(x2), rows_of(y1), rows_of(y2), rows_of(out)};
    nb::gil_scoped_release released;
    in_parts(words, kGroup, std::get<0>(how), kWordsWorthAThread, [&](Range part) { variant.mask_product(job, part); });
}

using Written = Flat<Word>;
using NarrowWritten = nb::ndarray<nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <class Job>
auto of_written_width(const ByWidth<Job> &kernels, const NarrowWritten &wrap) {
    const auto type = wrap.dtype();
    require(type.code == static_cast<std::uint8_t>(nb::dlpack::dtype_code::UInt) && type.lanes == 1 &&
                (type.bits == 16 || type.bits == 32 || type.bits == 64),
            "narrow words are uint16, uint32 or uint64");
    if (type.bits == 16) return kernels.two;
    return type.bits == 32 ? kernels.four : kernels.eight;
}

void bound_deal_truncate(const std::tuple<Read, Read> &masks, const std::tuple<Written, NarrowWritten> &parts, int bits,
                         const How &how) {
    const Variant &variant = chosen(std::get<1>(how));
    const auto &[l1, l2] = masks;
    const auto &[quotient, wrap] = parts;
    check_shift(bits);
    check_sizes(l1.size(), l2, quotient, wrap);
    const auto kernel = of_written_width(variant.deal_truncate, wrap);
    Dealing job{};
    job.l1 = l1.data();
    job.l2 = l2.data();
    job.quotient = quotient.data();
    job.wrap = wrap.data();
    job.bits = bits;
    nb::gil_scoped_release released;
    in_parts(l1.size(), kWordBits, std::get<0>(how), kValuesWorthAThread, [&](Range part) { kernel(job, part); });
}

void bound_deal_select(const std::tuple<Read, Read> &bit_masks, const std::tuple<Read, Read> &masks,
                       const std::tuple<Written, Written> &parts, const How &how) {
    const Variant &variant = chosen(std::get<1>(how));
    const auto &[b1, b2] = bit_masks;
    const auto &[l1, l2] = masks;
    const auto &[bit, bit_mask] = parts;
    check_sizes(l1.size(), l2, bit, bit_mask);
    check_plane(b1, l1.size());
    check_plane(b2, l1.size());
    Dealing job{};
    job.l1 = l1.data();
    job.l2 = l2.data();
    job.b1 = b1.data();
    job.b2 = b2.data();
    job.bit = bit.data();
    job.bit_rest = bit_mask.data();
    nb::gil_scoped_release released;
    in_parts(l1.size(), kWordBits, std::get<0>(how), kValuesWorthAThread,
             [&](Range part) { variant.deal_select(job, part); });
}

void bound_deal_select_truncate(
    const std::tuple<Read, Read> &bit_masks, const std::tuple<Read, Read> &masks,
    const std::tuple<Written, NarrowWritten, Written, Written, NarrowWritten> &parts, int bits, const How &how) {
    const Variant &variant = chosen(std::get<1>(how));
    const auto &[b1, b2] = bit_masks;
    const auto &[l1, l2] = masks;
    const auto &[quotient, wrap, bit, bit_quotient, bit_wrap] = parts;
    check_shift(bits);
    check_sizes(l1.size(), l2, quotient, wrap, bit, bit_quotient, bit_wrap);
    check_plane(b1, l1.size());
    check_plane(b2, l1.size());
    const auto kernel = of_written_width(variant.deal_select_truncate, wrap);
    require(wrap.dtype() == bit_wrap.dtype(), "narrow words differ in width");
    const Dealing job{l1.data(),   l2.data(),           b1.data(),   b2.data(),       quotient.data(),
                      bit.data(),  bit_quotient.data(), wrap.data(), bit_wrap.data(), bits};
    nb::gil_scoped_release released;
    in_parts(l1.size(), kWordBits, std::get<0>(how), kValuesWorthAThread, [&](Range part) { kernel(job, part); });
}

}  // namespace

void bind_masked(nb::module_ &m) {
    const auto array = [](const char *name) { return nb::arg(name).noconvert(); };
    const auto how = nb::arg("how");
    m.def("masked_and", &bound_masked_and, array("x"), array("y"), array("dealt"), array("out"), nb::arg("first"), how);
    m.def("subset_products", &bound_subset_products, array("bits"), nb::arg("depth"), array("out"),
          nb::arg("combine"), how);
    m.def("fold_groups", &bound_fold_groups, array("operands"), nb::arg("depth"), array("borrow").none(),
          array("equal").none(), nb::arg("first_and_last"), how);
    m.def("truncate_part", &bound_truncate_part, array("m"), array("dealt"), array("u"), array("out"),
          nb::arg("bits_and_first"), how);
    m.def("select_part", &bound_select_part, array("chosen"), array("x"), array("dealt"), array("u"), array("out"),
          nb::arg("first"), how);
    m.def("select_truncate_part", &bound_select_truncate_part, array("chosen"), array("m"), array("dealt"),
          array("u_and_out"), nb::arg("bits_and_first"), how);
    m.def("inject_part", &bound_inject_part, array("chosen"), array("bit"), array("u"), array("out"),
          nb::arg("first"), how);
    m.def("mask_product", &bound_mask_product, array("x"), array("y"), array("out"), how);
    m.def("deal_truncate", &bound_deal_truncate, array("masks"), array("parts"), nb::arg("bits"), how);
    m.def("deal_select", &bound_deal_select, array("bit_masks"), array("masks"), array("parts"), how);
    m.def("deal_select_truncate", &bound_deal_select_truncate, array("bit_masks"), array("masks"), array("parts"),
          nb::arg("bits"), how);
}

}  // namespace stead::bits
