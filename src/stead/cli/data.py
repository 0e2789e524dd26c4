"""``stead data``: the datasets of a node."""

from __future__ import annotations

from pathlib import Path

import click

from stead.cli.owner import node_option, opened
from stead.cli.style import emit_json, emit_table, json_option, say


@click.group()
def command() -> None:
    """Add, list and show datasets."""


@command.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--table", default="", help="Which table of a DuckDB file.")
def draft(file: Path, table: str) -> None:
    """Print a card to fill in, from the column names and types of FILE; nothing is read from its rows."""
    from stead.node.services.datafiles import schema_draft

    click.echo(schema_draft(file, table=table), nl=False)
    say("fill in what is public: bounds, categories, how many people; then stead data add FILE --card card.toml")


@command.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--card", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The public card, TOML.")
@click.option("--table", default="", help="Which table of a DuckDB file.")
@node_option
def add(file: Path, card: Path, table: str, node: Path) -> None:
    """Offer the rows of FILE (CSV, Parquet, Arrow or DuckDB) under a public card."""
    from stead.node.services.datafiles import load_card

    described = load_card(card)
    with opened(node) as home:
        report = home.registry.add(file, described, table=table)
    say(f"added {described.name}. For your eyes only, derived from rows:")
    for line in report.lines():
        say(f"  {line}")
    say("next: stead data show " + described.name)


@command.command()
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


@command.command()
@click.argument("name")
@click.option("--rows", default=5, show_default=True, help="How many mock rows.")
@node_option
@json_option
def show(name: str, rows: int, node: Path, as_json: bool) -> None:
    """Show what everybody may know of dataset NAME: its card, and mock rows made from the card alone."""
    from stead.plans.mock import mock_rows

    with opened(node) as home:
        card = home.registry.card(name)
    mock = {column: list(values)[:rows] for column, values in mock_rows(card.schema, max(rows, 1)).items()}
    if as_json:
        emit_json(card)
        return
    schema = card.schema
    click.echo(f"{card.name} · {schema.people[0]:,} to {schema.people[1]:,} people · unit: {schema.unit}")
    for label, text in (("Purpose", card.purpose), ("Contact", card.contact), ("Licence", card.licence)):
        if text:
            click.echo(f"{label:<8} {text}")
    table = [
        (
            column.name,
            column.kind,
            f"{column.bounds.low:g} to {column.bounds.high:g} {column.unit}".strip()
            if column.bounds
            else ", ".join(column.categories),
            f"{column.missing_rate:.0%}" if column.missing_rate else "",
        )
        for column in schema.columns
    ]
    emit_table(("column", "kind", "values", "missing"), table)
    click.echo(f"\n{rows} mock rows, made from the card alone:")
    emit_table(tuple(mock), [tuple(_cell(value) for value in row) for row in zip(*mock.values(), strict=True)])


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
