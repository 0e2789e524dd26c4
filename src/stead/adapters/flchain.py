"""The demonstration's patients: scikit-survival's ``flchain``, split over hospitals that do not know each other's rows.

7,874 residents of Olmsted County, Minnesota, aged 50 and over, whose serum free light chains were measured between
1995 and 2003; 2,169 of them died before 2010. The rows ship inside the scikit-survival package (extra ``demo``).

References: Dispenzieri et al. 2012, "Use of Nonclonal Serum Immunoglobulin Free Light Chains to Predict Overall
Survival in the General Population", Mayo Clinic Proceedings 87(6).
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from stead.core.schema import Bounds, Column, DatasetCard, Schema
from stead.errors import MissingExtra

SHARES: Final = {"north": 0.55, "lakeside": 0.30, "valley": 0.15}
"""The hospitals, and the share of the training patients each of them holds."""

FEATURES: Final = ("age", "sex", "sample_year", "kappa", "lambda", "flc_group", "creatinine", "mgus")
TARGET: Final = "death"
HELD_OUT: Final = 0.2

_YEARS = tuple(str(year) for year in range(1995, 2004))
_COLUMNS = (
    Column("patient", "text", description="the hospital's own number of the patient"),
    Column("age", "integer", bounds=Bounds(50, 100), unit="years", description="age when the sample was taken"),
    Column("sex", "category", categories=("F", "M")),
    Column("sample_year", "category", categories=_YEARS, description="year of the sample"),
    Column("kappa", "real", bounds=Bounds(0, 10), unit="mg/dL", description="serum free light chain, kappa"),
    Column("lambda", "real", bounds=Bounds(0, 10), unit="mg/dL", description="serum free light chain, lambda"),
    Column(
        "flc_group", "category", categories=tuple(str(n) for n in range(1, 11)), description="decile of kappa + lambda"
    ),
    Column("creatinine", "real", bounds=Bounds(0, 5), missing_rate=0.17, unit="mg/dL", description="serum creatinine"),
    Column("mgus", "boolean", description="monoclonal gammopathy was diagnosed"),
    Column("death", "boolean", description="died before the end of the study"),
)


class Patients(msgspec.Struct, frozen=True):
    """Rows of ``flchain`` in stead's column names; ``columns`` hold Python values, ``None`` where one is missing."""

    columns: dict[str, list[Any]]

    def __len__(self) -> int:
        return len(self.columns[TARGET])

    def __repr__(self) -> str:
        return f"Patients({len(self)} rows, <redacted>)"

    def take(self, rows: NDArray[np.int64]) -> Patients:
        """The rows of these indices, in this order."""
        return Patients({name: [values[row] for row in rows] for name, values in self.columns.items()})

    def to_csv(self, path: Path) -> None:
        """Write the rows with a header line; a missing value is an empty cell."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self.columns)
            for row in zip(*self.columns.values(), strict=True):
                writer.writerow("" if value is None else value for value in row)


def card(site: str) -> DatasetCard:
    """What the hospital ``site`` publishes: an owner's words, from the study's protocol and not from its rows."""
    expected = SHARES[site] * 7874 * (1 - HELD_OUT)
    people = (int(expected * 0.9 // 100 * 100), int(expected * 1.1 // 100 * 100 + 100))
    schema = Schema(f"flchain at {site}", "patient", _COLUMNS, people, person="patient")
    return DatasetCard(
        name="flchain",
        schema=schema,
        purpose="research on serum free light chains and survival",
        contact=f"data-office@{site}.example",
        licence="public research data, shipped with scikit-survival (GPL-3.0)",
        description="Residents aged 50 and over with a serum free light chain measurement, 1995 to 2003.",
    )


def load() -> Patients:
    """All patients.

    Raises:
        MissingExtra: scikit-survival is not installed.
    """
    try:
        from sksurv.datasets import load_flchain
    except ImportError:
        raise MissingExtra(
            "the demonstration's patients come with scikit-survival.", hint="pip install 'stead[demo]'"
        ) from None
    table, outcome = load_flchain()
    numbers = {name: table[name].astype(float).to_numpy() for name in ("age", "kappa", "lambda", "creatinine")}
    return Patients(
        {
            "patient": [f"P{number:05d}" for number in range(len(table))],
            "age": [int(value) for value in numbers["age"]],
            "sex": [str(value) for value in table["sex"]],
            "sample_year": [str(value) for value in table["sample.yr"]],
            "kappa": [float(value) for value in numbers["kappa"]],
            "lambda": [float(value) for value in numbers["lambda"]],
            "flc_group": [str(value) for value in table["flc.grp"]],
            "creatinine": [None if np.isnan(value) else float(value) for value in numbers["creatinine"]],
            "mgus": [str(value) == "yes" for value in table["mgus"]],
            "death": [bool(value) for value in outcome["death"]],
        }
    )


def split(patients: Patients, *, seed: int) -> tuple[dict[str, Patients], Patients]:
    """Divide the patients among the hospitals, unevenly, and hold some out as the scientist's own.

    Args:
        patients: all of them.
        seed: of the shuffle; the same seed gives the same split.

    Returns:
        The patients of each hospital by its name, and the held-out ones.
    """
    order = np.random.default_rng(seed).permutation(len(patients))
    held_out = round(HELD_OUT * len(patients))
    cuts = held_out + np.round(np.cumsum(list(SHARES.values())) * (len(patients) - held_out)).astype(int)
    pieces = np.split(order[held_out:], cuts[:-1] - held_out)
    return dict(zip(SHARES, map(patients.take, pieces), strict=True)), patients.take(order[:held_out])


def arrays(patients: Patients) -> dict[str, NDArray[Any]]:
    """The columns as arrays, as ``plans.features.encode_rows`` reads them."""
    return {name: np.array(values, dtype=object) for name, values in patients.columns.items()}
