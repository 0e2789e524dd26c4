"""``stead data``: the datasets of a node."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stead.cli.owner import next_step, node_option, opened
from stead.cli.style import emit_json, emit_table, json_option, say
from stead.core.dates import iso

if TYPE_CHECKING:
    from stead.core.schema import Column, DatasetCard, Kind

_MOST_MOCK_ROWS = 1000


@click.group(
    epilog="""\b
Examples:
  stead data draft heart.csv > card.toml        a card to fill in
  stead data add heart.csv --card card.toml
  stead data show heart                         what everybody may know
"""
)
def command() -> None:
    """Add, list and show datasets."""


@command.command(
    epilog="""\b
Examples:
  stead data draft heart.csv > card.toml
  stead data draft warehouse.duckdb --table patients > card.toml
"""
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--table", default="", help="Which table of a DuckDB file.")
def draft(file: Path, table: str) -> None:
    """Print a card to fill in, from the names and types of FILE's columns.

    Bounds, categories and the number of people are yours to declare: the card is public, so nothing is filled in from
    rows.
    """
    from stead.node.services.datafiles import schema_draft

    click.echo(schema_draft(file, table=table), nl=False)
    say(f"write what is public: bounds, categories, how many people; then stead data add {file} --card card.toml")


@command.command(
    epilog="""\b
Examples:
  stead data add heart.csv --card card.toml --dry-run       check, and keep nothing
  stead data add heart.csv --card card.toml
"""
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--card", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The public card, TOML.")
@click.option("--table", default="", help="Which table of a DuckDB file.")
@click.option("--dry-run", is_flag=True, help="Check the card and the rows, and keep nothing.")
@node_option
def add(file: Path, card: Path, table: str, dry_run: bool, node: Path) -> None:
    """Offer the rows of FILE (CSV, Parquet, Arrow or DuckDB) under a public card.

    Shows the card, then loads. An earlier dataset of the same name is replaced. Counts of rows are for your eyes: they
    are printed here and kept nowhere.
    """
    from stead.node.services.datafiles import load_card

    described = load_card(card)
    with opened(node) as home:
        _show_card(described)
        known = any(each.name == described.name for each in home.registry.cards())
        load = home.registry.check if dry_run else home.registry.add
        report = load(file, described, table=table)
    did = "the rows fit the card; nothing was kept" if dry_run else "replaced" if known else "added"
    say(f"\n{described.name}: {did}. For your eyes only, derived from rows:")
    for line in report.lines():
        say(f"  {line}")
    if not dry_run:
        next_step("stead people add NAME KEY --project PROJECT", node)


@command.command(
    epilog="""\b
Examples:
  stead data ls
  stead data ls --json
"""
)
@node_option
@json_option
def ls(node: Path, as_json: bool) -> None:
    """List the datasets."""
    with opened(node) as home:
        cards = home.registry.cards()
    if as_json:
        emit_json(cards)
        return
    rows = [
        (card.name, card.schema.population, card.schema.unit, "{:,} to {:,}".format(*card.schema.people))
        for card in cards
    ]
    emit_table(("dataset", "population", "unit", "people"), rows)
    if not rows:
        say("no data yet; stead data draft FILE > card.toml begins")


@command.command(
    epilog="""\b
Examples:
  stead data show heart
  stead data show heart --rows 20
"""
)
@click.argument("name")
@click.option("--rows", type=click.IntRange(0, _MOST_MOCK_ROWS), default=5, show_default=True, help="Mock rows.")
@node_option
@json_option
def show(name: str, rows: int, node: Path, as_json: bool) -> None:
    """Show what everybody may know of dataset NAME: its card, and mock rows made from the card alone."""
    from stead.plans.mock import mock_rows

    with opened(node) as home:
        card = home.registry.card(name)
    if as_json:
        emit_json(card)
        return
    _show_card(card)
    if rows:
        mock = mock_rows(card.schema, rows)
        cells = [[_cell(value, column.kind) for value in mock[column.name]] for column in card.schema.columns]
        click.echo("\nmock rows, made from the card alone:")
        emit_table(tuple(mock), list(zip(*cells, strict=True)))


def _show_card(card: DatasetCard) -> None:
    schema = card.schema
    people = "{:,} to {:,}".format(*schema.people)
    rows = f", at most {schema.rows_per_person:,} rows each" if schema.rows_per_person > 1 else ""
    pairs = (
        ("Dataset", card.name),
        ("People", f"{people} of population {schema.population!r}, one {schema.unit} protected{rows}"),
        ("Purpose", card.purpose),
        ("Contact", card.contact),
        ("Licence", card.licence),
        ("About", card.description),
    )
    for label, text in pairs:
        if text:
            click.echo(f"{label:<8} {text}")
    click.echo()
    table = [
        (column.name, column.kind, _values(column, schema.person), _share(column.missing_rate))
        for column in schema.columns
    ]
    emit_table(("column", "kind", "values", "missing"), table)


def _values(column: Column, person: str | None) -> str:
    if column.name == person:
        return "tells people apart; not kept"
    if column.kind == "date" and column.bounds:
        return f"{iso(column.bounds.low)} to {iso(column.bounds.high)}"
    if column.bounds:
        return f"{column.bounds.low:g} to {column.bounds.high:g} {column.unit}".strip()
    return ", ".join(column.categories) or ("not public" if column.kind == "text" else "")


def _share(rate: float) -> str:
    return f"{rate:.0%}" if rate else ""


def _cell(value: object, kind: Kind) -> str:
    if value is None:
        return ""
    if kind == "date" and isinstance(value, float):
        return "" if math.isnan(value) else iso(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
