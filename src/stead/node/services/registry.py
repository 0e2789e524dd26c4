"""The datasets of a node: their public cards in the store, their rows in files that only the runner opens."""

from __future__ import annotations

import hashlib
import hmac
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import final

import sqlalchemy as sa

from stead.core import codec
from stead.core.leaves import DatasetAdded
from stead.core.schema import DatasetCard
from stead.errors import NodeError, UsageError
from stead.node.services.books import Books
from stead.node.services.duck import Limits
from stead.node.services.table_load import LoadReport
from stead.node.services.tables import JoinedTables, Table, load, table_path
from stead.node.store import tables

_CHUNK_BYTES = 1 << 20

_Version = tuple[float, str, bytes]  # when it was added, from which file, under which card


@final
class Registry:
    """Which datasets there are, and the way to their rows.

    Args:
        books: the node's records.
        directory: where the files of rows are.
        limits: what one question may use of the machine.
        person_secret: gives the node's secret that identities are hashed under; asked when rows are loaded.
    """

    def __init__(self, books: Books, directory: Path, *, limits: Limits, person_secret: Callable[[], bytes]) -> None:
        self._books = books
        self._directory = directory
        self._limits = limits
        self._person_secret = person_secret
        self._open: dict[str, tuple[_Version, Table]] = {}
        self._lock = threading.Lock()

    def add(self, source: Path, card: DatasetCard, *, table: str = "") -> LoadReport:
        """Load a file's rows under a card, in place of an earlier dataset of the same name.

        Args:
            source: a CSV, Parquet, Arrow IPC or DuckDB file.
            card: its public description.
            table: which table of a DuckDB file.

        Returns:
            Counts for the owner's own terminal; derived from rows.

        Raises:
            UsageError: the rows do not fit the card; or the dataset, or the very same file, stands for another
                population already, or the population is partitioned in another way than before: that would give
                the same people a second budget.
        """
        fingerprint = self._fingerprint(source)
        self._refuse_second_budget(card, fingerprint)
        report = self._load(source, card, self._directory, table)
        body, now = codec.encode(card), self._books.log.now()
        row = {
            "name": card.name,
            "population": card.schema.population,
            "card": body,
            "source": fingerprint,
            "added_at": now,
        }
        leaf = DatasetAdded(
            at=now,
            dataset=card.name,
            population=card.schema.population,
            card_hash=codec.digest("stead.card", body),
            partition=_partition(card),
        )
        rows = tables.datasets
        with self._books.store.write() as write:
            if not write.insert_if_absent(rows, row):
                write.connection.execute(rows.update().where(rows.c.name == card.name).values(row))
            self._books.log.append(write, leaf)
        return report

    def check(self, source: Path, card: DatasetCard, *, table: str = "") -> LoadReport:
        """What ``add`` would say and refuse, with nothing kept.

        Raises:
            UsageError: as ``add``.
        """
        self._refuse_second_budget(card, self._fingerprint(source))
        self._directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="check-", dir=self._directory) as directory:
            return self._load(source, card, Path(directory), table)

    def cards(self) -> tuple[DatasetCard, ...]:
        """All public cards, by name."""
        query = sa.select(tables.datasets.c.card).order_by(tables.datasets.c.name)
        with self._books.store.read() as connection:
            return tuple(codec.decode(bytes(body), DatasetCard) for body in connection.execute(query).scalars())

    def card(self, name: str) -> DatasetCard:
        """One public card.

        Raises:
            UsageError: there is no such dataset.
        """
        return self._row(name)[0]

    def table(self, name: str) -> Table:
        """The rows of a dataset, opened once. For the runner alone.

        Raises:
            UsageError: there is no such dataset, or its file is missing.
        """
        card, version = self._row(name)
        with self._lock:
            held = self._open.get(name)
            if held is None or held[0] != version:
                # An earlier table is left to whoever still reads it; its file is gone from the directory already.
                held = (version, Table(self._directory, card, limits=self._limits))
                self._open[name] = held
            return held[1]

    def joined(self, name: str, others: Sequence[str]) -> JoinedTables:
        """The rows of a dataset with those of others joined on the person. For the runner alone, which closes them.

        Raises:
            UsageError: there is no such dataset, its file is missing, or its people cannot be compared.
        """
        cards = [self.card(other) for other in others]
        return JoinedTables(self._directory, self.card(name), cards, limits=self._limits)

    def check_stored(self) -> None:
        """Open each file of rows once, so that one in an old form is found before a question over it is charged.

        Raises:
            UsageError: a file is of another stored form, or was made under another schema; says what to do.
        """
        for card in self.cards():
            if table_path(self._directory, card.name).exists():
                with suppress(NodeError), Table(self._directory, card, limits=self._limits):
                    pass  # what is damaged fails by itself, when it is asked

    def close(self) -> None:
        """Give the files back."""
        with self._lock:
            for _, table in self._open.values():
                table.close()
            self._open.clear()

    def _load(self, source: Path, card: DatasetCard, directory: Path, table: str) -> LoadReport:
        secret = self._person_secret()
        return load(source, card, directory, person_secret=secret, limits=self._limits, table=table)

    def _row(self, name: str) -> tuple[DatasetCard, _Version]:
        columns = tables.datasets.c
        query = sa.select(columns.card, columns.added_at, columns.source).where(columns.name == name)
        with self._books.store.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise UsageError(f"there is no dataset {name[:80]!r} here.")
        return codec.decode(bytes(row[0]), DatasetCard), (float(row[1]), str(row[2]), bytes(row[0]))

    def _fingerprint(self, source: Path) -> str:
        """A keyed digest of the file's bytes: it tells this node, and nobody else, whether two files are the same."""
        secret = codec.digest("stead.source", self._books.identity.key.sign("stead.source", b"fingerprint"))
        mac = hmac.new(secret, digestmod=hashlib.sha256)
        try:
            with source.open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    mac.update(chunk)
        except OSError as error:
            raise UsageError(f"{source} cannot be read: {error.strerror}.") from None
        return mac.hexdigest()

    def _refuse_second_budget(self, card: DatasetCard, fingerprint: str) -> None:
        self._refuse_other_cells(card)
        columns = tables.datasets.c
        with self._books.store.read() as connection:
            rows = connection.execute(sa.select(columns.name, columns.population, columns.source)).all()
        for name, population, source in rows:
            if population == card.schema.population or (name != card.name and source != fingerprint):
                continue
            what = "this dataset" if name == card.name else f"this very file, as dataset {name!r},"
            raise UsageError(
                f"{what} stands for population {population!r} here; the same people have one budget.",
                hint=f'population = "{population}" in the card',
            )

    def _refuse_other_cells(self, card: DatasetCard) -> None:
        """Raise if the population's accounts are, or would be, kept by another partition than this card's."""
        population, partition = card.schema.population, _partition(card)
        kept = self._books.accounts.kept_by(population)
        if kept is not None and kept != partition:
            raise UsageError(
                f"population {population!r} has been charged {_in_words(kept)}, and this card says "
                f"{_in_words(partition)}; the same people have one budget.",
                hint="a partition and its values are declared before the first question, and stay",
            )
        for other in self.cards():
            same = other.schema.population == population and other.name != card.name
            if same and _partition(other) != partition:
                raise UsageError(
                    f"dataset {other.name!r} of population {population!r} is kept {_in_words(_partition(other))}, and "
                    f"this card says {_in_words(partition)}; the same people have one budget.",
                    hint="declare the same partition, with the same values, in each card of the population",
                )


def _partition(card: DatasetCard) -> tuple[str, ...]:
    """The column by which a card's people are partitioned and its values; empty without one."""
    schema = card.schema
    return () if schema.partition is None else (schema.partition, *schema.partition_values)


def _in_words(partition: tuple[str, ...]) -> str:
    return f"by the {len(partition) - 1} values of {partition[0]!r}" if partition else "as a whole"
