"""``stead mpc``: the parties of joint computations, their keys and their links."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stead.cli.style import emit_json, emit_table, json_option, say
from stead.errors import UsageError

if TYPE_CHECKING:
    from stead.net.probe import Reach

UNREACHED, UNTRUSTED = 1, 4


@click.group(
    epilog="""\b
Examples:
  stead mpc keys north                              a party's key, and its lines for parties.toml
  stead mpc doctor parties.toml --as north          who can reach whom, at which speed
"""
)
def command() -> None:
    """Joint computations: the parties' keys, and whether they reach each other."""


@command.command(
    epilog="""\b
Examples:
  stead mpc keys north --address north.example:7301 >> parties.toml
  stead mpc keys north --address north.example:7301 --node /srv/stead
"""
)
@click.argument("name")
@click.option("--address", default="HOST:7301", show_default=True, help="Where the other parties reach this one.")
@click.option("--out", type=click.Path(path_type=Path), help="The key's file; NAME.key when not given.")
@click.option(
    "--node",
    type=click.Path(path_type=Path, file_okay=False),
    help="Have the key signed by the identity of the node in this directory.",
)
def keys(name: str, address: str, out: Path | None, node: Path | None) -> None:
    """Make a party's key and its lines for parties.toml.

    The file is readable by you alone. The lines hold no secret: give them to the other parties, and compare the key
    with them by another way. With `--address` they say where the others reach this party; else replace HOST in them.
    """
    from stead.core.entropy import SystemEntropy
    from stead.net.noise import StaticKey
    from stead.net.parties import Party, check_name, entry, read_address, sign_party_key

    path = out or Path(f"{check_name(name)}.key")
    host, port = read_address(address)
    key = StaticKey.generate(SystemEntropy())
    party = Party(name=check_name(name), host=host, port=port, key=key.public)
    lines = entry(party)
    if node is not None:
        from stead.node.home import Home

        identity = Home.open(node).key
        signed = Party(name=name, host=host, port=port, key=key.public, identity=identity.public.raw)
        lines = entry(signed, sign_party_key(identity, name, key.public))
    key.save(path)
    say(f"made {path}; it is readable by you alone. The lines for parties.toml:")
    click.echo(lines, nl=False)


@command.command(
    epilog="""\b
Examples:
  stead mpc doctor parties.toml --as north
  stead mpc doctor parties.toml --as north --key /srv/north.key --wait 300 --json
"""
)
@click.argument("parties", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--as", "me", required=True, help="Which party this is.")
@click.option("--key", type=click.Path(path_type=Path), help="The party's key; NAME.key when not given.")
@click.option(
    "--wait", "wait_s", type=click.FloatRange(0.1, 3600), default=60.0, show_default=True,
    help="Seconds to wait for parties that have not started.",
)  # fmt: skip
@click.option(
    "--node",
    type=click.Path(path_type=Path, file_okay=False),
    help="The node that vouches for the key, where the others know only its identity.",
)
@json_option
def doctor(parties: Path, me: str, key: Path | None, wait_s: float, node: Path | None, as_json: bool) -> int:
    """Try every link between the parties in both directions. Run it at every party at about the same time.

    Shows who reaches whom, the time there and back, the speed, and whether the key was the known one; what the others
    found is asked of those that were reached. Ends with 1 when a link does not stand, with 4 when a key is wrong.
    """
    from stead.core.entropy import SystemEntropy
    from stead.net.noise import StaticKey
    from stead.net.parties import VouchedKey, read_parties, sign_party_key
    from stead.net.probe import probe

    try:
        everybody = read_parties(parties.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{parties} cannot be read: {getattr(error, 'strerror', None) or 'no text'}.") from None
    everybody.place(me)
    own = VouchedKey(StaticKey.load(key or Path(f"{me}.key")))
    if node is not None:
        from stead.node.home import Home

        own = VouchedKey(own.key, sign_party_key(Home.open(node).key, me, own.key.public))
    say(f"{me} listens at {everybody[me].address} and tries the others for {wait_s:g} s.")
    found = probe(everybody, me, own, entropy=SystemEntropy(), wait_s=wait_s)
    if as_json:
        emit_json({"healthy": not any(reach.problem for reach in found), "links": found})
    else:
        header = ("", "from", "to", "key", "there and back", "speed", "")
        emit_table(header, [_shown(reach) for reach in found])
        say("something needs attention" if any(reach.problem for reach in found) else "all parties reach each other")
    if any(reach.key == "wrong" for reach in found):
        return UNTRUSTED
    return UNREACHED if any(reach.problem for reach in found) else 0


def _shown(reach: Reach) -> tuple[str, ...]:
    good = not reach.problem
    return (
        "✓" if good else "✗",
        reach.dialer,
        reach.listener,
        reach.key,
        f"{reach.round_trip_ms:.2f} ms" if good else "",
        f"{reach.mb_per_s:.0f} MB/s" if good else "",
        reach.problem,
    )
