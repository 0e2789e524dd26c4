// Bounds of contribution: of each person the first rows of the first groups.
//
// The meaning is in src/stead/node/services/bounding.py; the NumPy reference there gives the same mask. One pass over
// the rows; of the person at hand the groups taken so far are kept: for a mask in a list that is searched from its start
// while it is short and in a table of open addressing behind that, for sums in a place for each group. The time depends
// on the rows, as that of the question does.

#include "bounding.hpp"

#include "arrow_stream.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <utility>
#include <vector>

namespace nb = nanobind;

namespace stead {
namespace {

using Integers = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Mask = nb::ndarray<bool, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Totals = nb::ndarray<std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

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

// What is added up of the kept rows: columns of values, one sum for each group, and behind them columns of cells, counted
// in each group. `totals` holds the kept rows of each group, the people who have one, each column's sums, each column's
// cells.
struct Wanted {
    std::size_t groups;
    std::size_t sums;
    std::vector<std::size_t> widths;  // how many cells each column of cells has

    std::size_t columns() const { return sums + widths.size(); }

    std::size_t size() const {
        return groups * std::accumulate(widths.begin(), widths.end(), std::size_t{2} + sums);
    }
};

// Adds up what `fill` would keep. Persons rise, so that a person never comes again, and may go on in the next call. Sums
// cannot overflow within the bounds that the caller has proven. Which groups a row's person has is looked up in one place
// for each group, that names whose it is: nothing is cleared between persons, and no branch depends on the rows but those
// that end in failure.
class Sums {
  public:
    Sums(const Wanted &wanted, std::size_t most_groups, std::int64_t most_rows, std::int64_t *totals)
        : wanted_(wanted), most_groups_(most_groups), most_rows_(most_rows), totals_(totals),
          owner_(wanted.groups, std::numeric_limits<std::int64_t>::min()), rows_(wanted.groups, 0) {}

    // False if persons do not rise, a group is none of the groups or a cell none of the cells.
    template <typename Group>
    bool add(const std::int32_t *person, const Group *group, std::size_t size, const std::int32_t *const *values) {
        for (std::size_t row = 0; row < size; ++row) {
            const std::int64_t who = person[row];
            const auto at = static_cast<std::size_t>(group[row]);
            if (who < last_ || at >= wanted_.groups) return false;
            taken_ = who == last_ ? taken_ : 0;
            last_ = who;
            const bool is_new = owner_[at] != who;
            const bool is_taken = !is_new | (taken_ < most_groups_);
            const std::int64_t held = is_new ? 0 : rows_[at];
            const bool is_kept = is_taken & (held < most_rows_);
            taken_ += static_cast<std::size_t>(is_new & is_taken);
            owner_[at] = is_taken ? who : owner_[at];
            rows_[at] = is_taken ? held + is_kept : rows_[at];
            totals_[at] += is_kept;
            totals_[wanted_.groups + at] += is_new & is_taken;  // their first row there is kept
            std::int64_t *into = totals_ + 2 * wanted_.groups;
            for (std::size_t sum = 0; sum < wanted_.sums; ++sum, into += wanted_.groups) {
                into[at] += is_kept ? values[sum][row] : 0;
            }
            for (std::size_t column = 0; column < wanted_.widths.size(); ++column) {
                const std::size_t width = wanted_.widths[column];
                const auto cell = static_cast<std::size_t>(values[wanted_.sums + column][row]);
                if (cell >= width) return false;
                into[at * width + cell] += is_kept;
                into += wanted_.groups * width;
            }
        }
        return true;
    }

  private:
    const Wanted &wanted_;
    std::size_t most_groups_;
    std::int64_t most_rows_;
    std::int64_t *totals_;
    std::vector<std::int64_t> owner_;  // the last person who took the group
    std::vector<std::int64_t> rows_;   // of that person in it
    std::int64_t last_ = std::numeric_limits<std::int64_t>::min();
    std::size_t taken_ = 0;
};

// The first values of a column without missing ones, or nullptr.
template <typename Value>
const Value *values_of(const ArrowArray &column) {
    if (column.n_buffers != 2 || column.null_count > 0) return nullptr;
    return static_cast<const Value *>(column.buffers[1]) + column.offset;
}

// One batch of columns (person, group, values ...).
template <typename Group>
bool add_batch(const ArrowArray &batch, std::size_t columns, Sums &sums) {
    if (batch.n_children != static_cast<std::int64_t>(columns) + 2 || batch.offset != 0) return false;
    std::vector<const std::int32_t *> values;
    for (std::size_t column = 0; column < columns; ++column) {
        values.push_back(values_of<std::int32_t>(*batch.children[column + 2]));
    }
    const auto *person = values_of<std::int32_t>(*batch.children[0]);
    const auto *group = values_of<Group>(*batch.children[1]);
    if (person == nullptr || group == nullptr) return false;
    if (std::find(values.begin(), values.end(), nullptr) != values.end()) return false;
    return sums.add(person, group, static_cast<std::size_t>(batch.length), values.data());
}

// The format of the group's column; 0 if the columns are not of the types that `add_batch` reads.
char group_format(ArrowArrayStream &stream) {
    ArrowSchema schema{};
    if (stream.get_schema(&stream, &schema) != 0) return 0;
    const auto is_format = [&](std::int64_t column, const char *format) {
        return std::strcmp(schema.children[column]->format, format) == 0;
    };
    bool is_right = schema.n_children >= 2 && is_format(0, "i") && (is_format(1, "C") || is_format(1, "i"));
    for (std::int64_t column = 2; is_right && column < schema.n_children; ++column) is_right = is_format(column, "i");
    const char format = is_right ? schema.children[1]->format[0] : '\0';
    schema.release(&schema);
    return format;
}

// 1 for all rows added up; 0 if they are not rows of rising persons in groups; -1 if the source of the rows failed.
int bounded_sums(nb::handle capsule, std::size_t most_groups, std::int64_t most_rows, std::size_t groups,
                 std::size_t sums, std::vector<std::size_t> widths, Totals totals) {
    auto *stream = static_cast<ArrowArrayStream *>(PyCapsule_GetPointer(capsule.ptr(), "arrow_array_stream"));
    if (stream == nullptr) throw nb::python_error();
    const Wanted wanted{groups, sums, std::move(widths)};
    if (totals.size() != wanted.size()) throw std::invalid_argument("bounded_sums: totals of another size");
    Sums added(wanted, most_groups, most_rows, totals.data());
    nb::gil_scoped_release released;
    const char format = group_format(*stream);
    if (format == 0) return 0;
    while (true) {
        ArrowArray batch{};
        if (stream->get_next(stream, &batch) != 0) return -1;
        if (batch.release == nullptr) return 1;
        const bool is_added = format == 'C' ? add_batch<std::uint8_t>(batch, wanted.columns(), added)
                                            : add_batch<std::int32_t>(batch, wanted.columns(), added);
        batch.release(&batch);
        if (!is_added) return 0;
    }
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
    module.def("bounded_sums", &bounded_sums, nb::arg("stream"), nb::arg("most_groups"), nb::arg("most_rows"),
               nb::arg("groups"), nb::arg("sums"), nb::arg("widths"), nb::arg("totals"),
               "Adds up a stream's kept rows, by group, in `totals`. 1 done, 0 not such rows, -1 the stream failed.");
}

}  // namespace stead
