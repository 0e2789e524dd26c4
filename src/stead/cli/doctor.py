"""``stead doctor``: is this machine fit to be a node, or to talk to one? Looks, and changes nothing."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import shutil
import stat
import time
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

import click
import msgspec

from stead.cli.style import emit_json, emit_table, json_option, say
from stead.errors import BadProof, SteadError, UsageError

State = Literal["good", "note", "bad"]

EXTRAS: Final[dict[str, str]] = {
    "torch": "torch",
    "demo": "sksurv",
    "plot": "matplotlib",
    "arrow": "pyarrow",
    "polars": "polars",
    "postgres": "psycopg",
    "sklearn": "sklearn",
    "keras": "keras",
    "jax": "jax",
    "ray": "ray",
    "opendp": "opendp",
    "google-dp": "dp_accounting",
    "he": "tenseal",
    "flower": "flwr",
    "dicom": "pydicom",
    "otel": "opentelemetry",
}
CORE: Final = ("numpy", "msgspec", "cryptography", "duckdb", "sqlalchemy", "litestar")
NATIVE: Final = ("_native", "_ring", "_bits")
DEFAULT_NODE: Final = Path("stead-node")
ENOUGH_DISK_BYTES: Final = 1 << 30
MOST_CLOCK_DRIFT_S: Final = 0.05


class Check(msgspec.Struct, frozen=True):
    """One thing looked at: what was found, how good that is, and what to do when it is not."""

    name: str
    state: State
    found: str
    hint: str = ""


def examine(node: Path | None) -> list[Check]:
    """All checks, in the order they are shown; ``node`` is a node's directory, or None to leave that check out."""
    checks = [*_versions(), _kernels(), _clock(), _disk(node or Path.cwd()), _entropy()]
    if node is not None:
        checks += _permissions(node)
        checks += _witnesses(node)
    return [*checks, *_extras()]


def _versions() -> list[Check]:
    python = (
        f"{platform.python_version()} ({platform.python_implementation()}, {platform.system()} {platform.machine()})"
    )
    core = ", ".join(f"{name} {metadata.version(name)}" for name in CORE)
    return [
        Check("stead", "good", metadata.version("stead")),
        Check("python", "good", python),
        Check("core packages", "good", core),
    ]


def _kernels() -> Check:
    """Each compiled module, with the variant that this processor runs; one may be absent, and NumPy does its work."""
    built, absent = [], []
    for name in NATIVE:
        try:
            native = importlib.import_module(f"stead.{name}")
        except ImportError:
            absent.append(name)
            continue
        built.append(f"{name} ({native.variant()})" if hasattr(native, "variant") else name)
    found = f"built: {', '.join(built)}" if built else ""
    if not absent:
        return Check("native kernels", "good", found)
    missing = f"absent: NumPy runs for {', '.join(absent)}" if built else "absent: NumPy runs"
    hint = "results are the same; to build the kernels, install a C++20 compiler and reinstall stead"
    return Check("native kernels", "note", "; ".join(part for part in (found, missing) if part), hint)


def _clock() -> Check:
    """Signed messages live two minutes, so a wrong clock looks like an attack to the other side."""
    now, steady = time.time(), time.monotonic()
    installed = Path(__file__).stat().st_mtime
    time.sleep(0.02)
    drift = abs((time.time() - now) - (time.monotonic() - steady))
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if now < installed:
        return Check("clock", "bad", f"{shown}, before stead was installed", "set the clock, then keep it with NTP")
    if drift > MOST_CLOCK_DRIFT_S:
        return Check("clock", "bad", f"{shown}, jumps by {drift:.2f} s", "let one time service keep the clock")
    return Check("clock", "good", shown)


def _disk(place: Path) -> Check:
    while not place.exists():
        place = place.parent
    free_bytes = shutil.disk_usage(place).free
    found = f"{free_bytes / 1e9:.1f} GB free at {place}"
    enough = free_bytes >= ENOUGH_DISK_BYTES
    return Check(
        "disk", "good" if enough else "bad", found, "" if enough else "a node that cannot write stops answering"
    )


def _entropy() -> Check:
    """The operating system's generator answers at once when it has been seeded since start-up."""
    try:
        first, second = (os.getrandom(32, os.GRND_NONBLOCK) for _ in range(2))
    except BlockingIOError:
        return Check("entropy", "bad", "the system's generator is not seeded yet", "wait, or give the machine a source")
    good = first != second
    return Check("entropy", "good" if good else "bad", "getrandom answers" if good else "getrandom repeats itself")


def _permissions(node: Path) -> list[Check]:
    """A node's directory holds its key, its rows' ranks and its ledger: its owner's alone."""
    if not node.is_dir():
        return [Check("node directory", "bad", f"{node} is not a directory", "make a node with `stead init`")]
    mode = stat.S_IMODE(node.stat().st_mode)
    checks = [
        Check("node directory", "bad", f"{node} is open to others (mode {mode:04o})", f"chmod 700 {node}")
        if mode & 0o077
        else Check("node directory", "good", f"{node} (mode {mode:04o})")
    ]
    if node.stat().st_uid != os.geteuid():
        checks.append(Check("node owner", "bad", "belongs to another user", "run stead as the directory's owner"))
    open_files = [path for path in sorted(node.rglob("*")) if path.is_file() and path.stat().st_mode & 0o077]
    secret = [path for path in open_files if path.suffix in {".key", ".pem"}]
    checks += [Check("key file", "bad", f"{path.name} is readable by others", f"chmod 600 {path}") for path in secret]
    if open_files and mode & 0o077:
        checks.append(
            Check("node files", "note", f"{len(open_files)} files are readable by others", f"chmod -R go= {node}")
        )
    return checks


def _witnesses(node: Path) -> list[Check]:
    """Who signs the node's log, as it noted itself: nobody is asked, and the store is not brought up to date."""
    if not (node / "stead.toml").is_file():
        return []
    try:
        size, rows = _noted(node)
    except SteadError as error:
        return [Check("witnesses", "note", f"not known: {error.what}", error.hint)]
    if not rows:
        return [Check("witnesses", "note", "none: a restored backup is not noticed here", "stead witness add URL KEY")]
    checks = []
    for url, signed, failures, failed in rows:
        found = f"{url} has signed {signed:,} of {size:,} entries"
        if failed == BadProof.code():
            hint = "`stead witness check` says why"
            checks.append(Check("witness", "bad", f"{found}; what it shows does not fit ({failures} times)", hint))
        elif failures:
            hint = "`stead witness check` asks it now"
            checks.append(Check("witness", "note", f"{found}; {failures} tries failed, the last: {failed}", hint))
        else:
            checks.append(Check("witness", "good", found))
    return checks


def _noted(node: Path) -> tuple[int, list[tuple[str, int, int, str]]]:
    """The log's size; and each witness's address, entries it signed, failed tries since, and the last failure."""
    from sqlalchemy import select

    from stead.node.home import Home
    from stead.node.store import open_store, tables

    home = Home.open(node)
    if not home.settings.store and not (node / "store.db").exists():
        raise UsageError("there is no store.")
    store = open_store(home.store_url, busy_timeout_s=2.0, change=False)
    try:
        with store.read() as connection:
            size = int(connection.execute(select(tables.log_head.c.size)).scalar_one())
            columns = tables.witnesses.c
            query = select(columns.url, columns.size, columns.failures, columns.failed).order_by(columns.url)
            return size, [
                (url, int(n), int(failures), failed) for url, n, failures, failed in connection.execute(query)
            ]
    finally:
        store.close()


def _extras() -> list[Check]:
    """Probed without importing: an extra is there when its package can be found."""
    checks = []
    owners = metadata.packages_distributions()
    for extra, package in EXTRAS.items():
        if importlib.util.find_spec(package) is None:
            checks.append(Check(f"extra {extra}", "note", "absent", f"pip install 'stead[{extra}]'"))
            continue
        distribution = owners.get(package, [package])[0]
        checks.append(Check(f"extra {extra}", "good", f"{distribution} {metadata.version(distribution)}"))
    return checks


@click.command("doctor")
@click.option(
    "--node",
    type=click.Path(path_type=Path),
    envvar="STEAD_NODE",
    help="A node's directory, to look at its permissions and disk too; ./stead-node when there is one.",
)
@json_option
def command(node: Path | None, *, as_json: bool) -> int:
    """Look at versions, native kernels, clock, disk, entropy, extras, and a node's permissions and witnesses.

    Ends with 1 when something is bad; a note is not bad.
    """
    checks = examine(node or (DEFAULT_NODE if DEFAULT_NODE.is_dir() else None))
    bad = [check for check in checks if check.state == "bad"]
    if as_json:
        emit_json({"healthy": not bad, "checks": checks})
    else:
        emit_table(("", "check", "found"), [(_mark(check), check.name, check.found) for check in checks])
        for check in checks:
            if check.hint and (check.state == "bad" or (check.state == "note" and not check.name.startswith("extra "))):
                say(f"  {check.name}: {check.hint}")
        say("something needs attention" if bad else "all good")
    return 1 if bad else 0


def _mark(check: Check) -> str:
    return {"good": "✓", "note": "·", "bad": "✗"}[check.state]
