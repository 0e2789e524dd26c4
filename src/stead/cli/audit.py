"""``stead audit``: proof, without trusting the owner or seeing rows."""

from __future__ import annotations

import os
from pathlib import Path

import click

from stead.cli.owner import count, node_option, opened, public_key
from stead.cli.style import emit_json, emit_table, json_option, say
from stead.errors import UsageError


@click.group(
    epilog="""\b
Examples:
  stead audit ledger                            a node checks its own books
  stead audit export log.jsonl                  for an auditor: hashes only
  stead audit verify log.jsonl --key 2e2a…a79a  with the node switched off
"""
)
def command() -> None:
    """Check and export the log of a node."""


@command.command(
    epilog="""\b
Examples:
  stead audit export log-2026-11.jsonl
  stead audit export log-2026-11-full.jsonl --full
"""
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--full", is_flag=True, help="With what every entry says, for an auditor whom you trust with it.")
@node_option
def export(file: Path, full: bool, node: Path) -> None:
    """Write the log to a new FILE: hashes only, unless --full.

    A full export says who asked what and why, so only you can read the file.
    """
    from stead.core.export import read_export
    from stead.node.services.export import export_log

    with opened(node) as home:
        data = export_log(home.books, full=full)
        key = home.home.key.public.raw.hex()
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if full else 0o644)
    except FileExistsError:
        raise UsageError(f"{file} exists; an export is never overwritten.", hint="choose another file") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}.") from None
    with os.fdopen(descriptor, "wb") as out:
        out.write(data)
    with file.open("rb") as written:
        size = len(read_export(written).leaves)
    say(f"wrote {count(size, 'entry')} to {file}")
    say(f"next: stead audit verify {file} --key {key}")


@command.command(
    epilog="""\b
Examples:
  stead audit verify log.jsonl --key 2e2a…a79a
  stead audit verify log.jsonl --key 2e2a…a79a --seen october.txt --receipt table-1.receipt
  stead audit verify log.jsonl --key 2e2a…a79a --seen witnessed.txt --witness 6b09…d314
"""
)
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
@click.option(
    "--witness",
    "witnesses",
    multiple=True,
    metavar="KEY",
    help="A stead's public key; it must have signed the export's head or one of --seen. Repeatable.",
)
@json_option
def verify(
    file: Path, key: str, receipts: tuple[Path, ...], seen: tuple[Path, ...], witnesses: tuple[str, ...], as_json: bool
) -> None:
    """Check an exported log FILE against the node's key, with the node switched off.

    Proves that the log is the one whose head the node signed, that nothing was taken out since the heads given with
    --seen, that each --witness has signed one of these heads, and that the receipts stand in it. A full export also
    proves what each account has spent, computed again from the priced events. Exit code 4: not proven, and nothing in
    it is to be believed.
    """
    from stead.client.verify import LogReport, read_receipt, verify_log_export

    report: LogReport = verify_log_export(
        file,
        public_key(key),
        receipts=[read_receipt(path) for path in receipts],
        older=[_head(path) for path in seen],
        witnesses=[public_key(text) for text in witnesses],
    )
    if not as_json:
        click.echo(repr(report))
        return
    accounts = [
        {
            "account": each.account,
            "epsilon_spent": each.epsilon_spent,
            "epsilon_limit": each.epsilon_limit,
            "delta": each.delta,
        }
        for each in report.accounts
    ]
    emit_json(
        {
            "verified": True,
            "node": report.name,
            "key": report.node_key.hex(),
            "entries": report.size,
            "root": report.root.hex(),
            "receipts": report.receipts,
            "seen": report.older,
            "witnesses": [
                {"key": each.key.hex(), "entries": each.size, "signed_at": each.time_s} for each in report.witnessed
            ],
            "other_signatures": report.unknown,
            "accounts": accounts,
            "disclosures": report.disclosures,
            "testing": report.testing,
        }
    )


@command.command(
    epilog="""\b
Examples:
  stead audit ledger
  stead audit ledger --json
"""
)
@node_option
@json_option
def ledger(node: Path, as_json: bool) -> None:
    """Check a node's own books, whole.

    The log's tree is built again from its entries and compared with what was signed; every account must be the sum of
    its charges, and every charge one of the log. Exit code 4: something was changed behind the node's back.
    """
    with opened(node) as home:
        home.books.log.verify()
        home.books.ledger.verify()
        accounts = home.books.accounts.all()
        entries = home.books.log.size()
        witnessed = max((each.size for each in home.books.witnesses.all()), default=0)
    if as_json:
        emit_json({"verified": True, "entries": entries, "accounts": accounts, "witnessed": witnessed})
        return
    rows = [(each.account, f"{each.epsilon_spent:.3f}", str(each.disclosures)) for each in accounts]
    emit_table(("account", "epsilon spent", "disclosures"), rows)
    say(f"verified: the log's {count(entries, 'entry')} are those that were signed, and the accounts are their sum")
    if witnessed:
        say(f"a witness has signed the first {count(witnessed, 'entry')}; `stead witness check` asks for later ones")
    else:
        say("no witness has signed it: only what others have kept shows that the store is not an old one")


def _head(path: Path) -> str:
    """A signed head that somebody kept."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no signed head: it is not text.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
