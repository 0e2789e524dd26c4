"""``stead audit``: proof, without trusting the owner or seeing rows."""

from __future__ import annotations

from pathlib import Path

import click

from stead.cli.owner import node_option, opened, public_key
from stead.cli.style import emit_json, emit_table, json_option, say


@click.group()
def command() -> None:
    """Check and export the log of a node."""


@command.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--full", is_flag=True, help="With what every entry says, for an auditor whom you trust with it.")
@node_option
def export(file: Path, full: bool, node: Path) -> None:
    """Write the log to FILE: hashes only, unless --full."""
    from stead.node.services.export import export_log

    with opened(node) as home:
        data = export_log(home.books, full=full)
        size = home.books.log.size()
    file.write_bytes(data)
    say(f"wrote {size} entries to {file}; next: stead audit verify {file} --key {home.home.key.public.raw.hex()}")


@command.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--key", required=True, help="The node's public key, from wherever you trust it.")
@click.option(
    "--receipt",
    "receipts",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Must stand in the log; repeatable.",
)
@click.option(
    "--seen",
    "seen",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A signed head kept earlier; repeatable.",
)
@json_option
def verify(file: Path, key: str, receipts: tuple[Path, ...], seen: tuple[Path, ...], as_json: bool) -> None:
    """Check an exported log FILE against the node's key, with the node switched off.

    Proves that the log is the one whose head the node signed, that nothing was taken out since the heads given with
    --seen, and that the receipts stand in it. A full export also proves what each account has spent, computed again
    from the priced events. Exit code 4: not proven, and nothing in it is to be believed.
    """
    from stead.client.verify import read_receipt, verify_log_export

    report = verify_log_export(
        file,
        public_key(key),
        receipts=[read_receipt(path) for path in receipts],
        older=[path.read_text(encoding="utf-8") for path in seen],
    )
    if as_json:
        emit_json(
            {
                "node": report.name,
                "key": report.node_key.hex(),
                "entries": report.size,
                "root": report.root.hex(),
                "receipts": report.receipts,
                "accounts": [
                    {
                        "account": a.account,
                        "epsilon_spent": a.epsilon_spent,
                        "epsilon_limit": a.epsilon_limit,
                        "delta": a.delta,
                    }
                    for a in report.accounts
                ],
                "disclosures": report.disclosures,
                "testing": report.testing,
                "verified": True,
            }
        )
        return
    click.echo(repr(report))


@command.command()
@node_option
@json_option
def ledger(node: Path, as_json: bool) -> None:
    """Check a node's own books: every account is the sum of its entries, every entry a charge in the log."""
    with opened(node) as home:
        home.books.ledger.verify()
        accounts = home.books.accounts.all()
        entries = home.books.log.size()
    if as_json:
        emit_json({"verified": True, "entries": entries, "accounts": accounts})
        return
    emit_table(("account", "epsilon spent"), [(each.account, f"{each.epsilon_spent:.3f}") for each in accounts])
    say(f"the accounts are what the {entries} entries of the log come to")
