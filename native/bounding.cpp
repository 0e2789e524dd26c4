// Bounds of contribution: of each person the first rows of the first groups.
//
// The meaning is in src/stead/node/services/bounding.py; the NumPy reference there gives the same mask. One pass over
// the rows; of the person at hand the groups taken so far are kept, in a list that is searched from its start while it
// is short and in a table of open addressing behind that. The time depends on the rows, as that of the question does.

#include "bounding.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

namespace nb = nanobind;

namespace stead {
namespace {

using Integers = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Mask = nb::ndarray<bool, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

constexpr std::size_t kShort = 16;
constexpr std::size_t kFirstTable = 4 * kShort;
constexpr std::uint64_t kSpread = 0x9E3779B97F4A7C15;  // 2^64 over the golden ratio

// The groups taken of one person, with the rows kept in each. Empty again in time linear in what it held.
class Groups {
  public:
    // The number of rows kept in `group`, to be counted up; nullptr if it is not taken and `most` are.
    std::int64_t *take(std::int64_t group, std::size_t most) {
        if (groups_.size() <= kShort) {
            for (std::size_t i = 0; i < groups_.size(); ++i) {
                if (groups_[i] == group) return &rows_[i];
            }
            return groups_.size() < most ? append(group) : nullptr;
        }
        std::size_t place = start(group);
        while (table_[place] != 0) {
            if (groups_[table_[place] - 1] == group) return &rows_[table_[place] - 1];
            place = (place + 1) & (table_.size() - 1);
        }
        return groups_.size() < most ? append(group) : nullptr;
    }

    void clear() {
        groups_.clear();
        rows_.clear();
        table_.clear();
    }

  private:
    std::int64_t *append(std::int64_t group) {
        groups_.push_back(group);
        rows_.push_back(0);
        if (groups_.size() > kShort) {
            if (2 * groups_.size() > table_.size()) {
                table_.assign(std::max(kFirstTable, 2 * table_.size()), 0);
                for (std::size_t i = 0; i < groups_.size(); ++i) enter(i);
            } else {
                enter(groups_.size() - 1);
            }
        }
        return &rows_.back();
    }

    void enter(std::size_t index) {
        std::size_t place = start(groups_[index]);
        while (table_[place] != 0) place = (place + 1) & (table_.size() - 1);
        table_[place] = index + 1;
    }

    // The high bits of the product; the table's size is a power of two from 64 on.
    std::size_t start(std::int64_t group) const {
        const int bits = std::countr_zero(table_.size());
        return static_cast<std::size_t>(static_cast<std::uint64_t>(group) * kSpread >> (64 - bits));
    }

    std::vector<std::int64_t> groups_;
    std::vector<std::int64_t> rows_;
    std::vector<std::size_t> table_;  // number of a group plus one; 0 is free
};

// Whether no person comes again after another one. Sorted persons need no memory.
bool clustered(const std::int64_t *person, std::size_t size) {
    if (std::is_sorted(person, person + size)) return true;
    std::vector<std::int64_t> seen;
    for (std::size_t row = 0; row < size; ++row) {
        if (row == 0 || person[row] != person[row - 1]) seen.push_back(person[row]);
    }
    std::sort(seen.begin(), seen.end());
    return std::adjacent_find(seen.begin(), seen.end()) == seen.end();
}

bool fill(const std::int64_t *person, const std::int64_t *group, std::size_t size, std::size_t most_groups,
          std::int64_t most_rows, bool *mask) {
    if (!clustered(person, size)) return false;
    Groups taken;
    for (std::size_t row = 0; row < size; ++row) {
        if (row != 0 && person[row] != person[row - 1]) taken.clear();
        std::int64_t *rows = group[row] < 0 ? nullptr : taken.take(group[row], most_groups);
        mask[row] = rows != nullptr && *rows < most_rows;
        if (mask[row]) ++*rows;
    }
    return true;
}

// Adds up what `fill` would keep: of each group the kept rows, and of each column of values their sum. The rows are those
// of a table read in chunks of whole persons, so that a person never comes again; sums cannot overflow within the bounds
// that the caller has proven. False if persons do not rise or a group is none of `groups`.
template <typename Group>
bool add(const std::int32_t *person, const Group *group, std::size_t size, const std::int32_t *const *values,
         std::size_t columns, std::size_t most_groups, std::int64_t most_rows, std::int64_t *totals,
         std::size_t groups) {
    Groups many;
    std::array<std::int64_t, kShort> few_group{};
    std::array<std::int64_t, kShort> few_rows{};
    std::size_t few = 0;
    const bool short_list = most_groups <= kShort;
    for (std::size_t row = 0; row < size; ++row) {
        if (row != 0 && person[row] != person[row - 1]) {
            if (person[row] < person[row - 1]) return false;
            few = 0;
            if (!short_list) many.clear();
        }
        const auto at = static_cast<std::size_t>(group[row]);
        if (at >= groups) return false;
        std::int64_t *kept = nullptr;
        if (short_list) {
            std::size_t i = 0;
            while (i < few && few_group[i] != static_cast<std::int64_t>(at)) ++i;
            if (i == few) {
                if (few == most_groups) continue;
                few_group[few] = static_cast<std::int64_t>(at);
                few_rows[few++] = 0;
            }
            kept = &few_rows[i];
        } else {
            kept = many.take(static_cast<std::int64_t>(at), most_groups);
            if (kept == nullptr) continue;
        }
        if (*kept >= most_rows) continue;
        ++*kept;
        ++totals[at];
        for (std::size_t column = 0; column < columns; ++column) {
            totals[(column + 1) * groups + at] += values[column][row];
        }
    }
    return true;
}

using People = nb::ndarray<const std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Totals = nb::ndarray<std::int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

template <typename Group>
bool bounded_sums(People person, nb::ndarray<const Group, nb::ndim<1>, nb::c_contig, nb::device::cpu> group,
                  const std::vector<People> &values, std::size_t most_groups, std::int64_t most_rows, Totals totals) {
    const std::size_t size = person.size();
    if (group.size() != size || totals.shape(0) != values.size() + 1) {
        throw std::invalid_argument("bounded_sums: not of one length");
    }
    std::vector<const std::int32_t *> columns;
    for (const People &column : values) {
        if (column.size() != size) throw std::invalid_argument("bounded_sums: not of one length");
        columns.push_back(column.data());
    }
    const std::int32_t *people = person.data();
    const Group *groups = group.data();
    std::int64_t *into = totals.data();
    const std::size_t count = totals.shape(1);
    nb::gil_scoped_release released;
    return add<Group>(people, groups, size, columns.data(), columns.size(), most_groups, most_rows, into, count);
}

bool bounded(Integers person, Integers group, std::size_t most_groups, std::int64_t most_rows, Mask mask) {
    const std::size_t size = person.size();
    if (group.size() != size || mask.size() != size) throw std::invalid_argument("bounded: not of one length");
    const std::int64_t *people = person.data();
    const std::int64_t *groups = group.data();
    bool *kept = mask.data();
    nb::gil_scoped_release released;
    return fill(people, groups, size, most_groups, most_rows, kept);
}

}  // namespace

void bind_bounding(nb::module_ &module) {
    module.def("bounded", &bounded, nb::arg("person"), nb::arg("group"), nb::arg("most_groups"), nb::arg("most_rows"),
               nb::arg("mask"), "Writes which rows are kept into `mask`; false if a person comes again after another.");
    const char *text = "Adds counts and sums of the kept rows, by group, to `totals`; false if persons do not rise.";
    module.def("bounded_sums", &bounded_sums<std::uint8_t>, nb::arg("person"), nb::arg("group").noconvert(),
               nb::arg("values"), nb::arg("most_groups"), nb::arg("most_rows"), nb::arg("totals"), text);
    module.def("bounded_sums", &bounded_sums<std::int32_t>, nb::arg("person"), nb::arg("group").noconvert(),
               nb::arg("values"), nb::arg("most_groups"), nb::arg("most_rows"), nb::arg("totals"), text);
}

}  // namespace stead
