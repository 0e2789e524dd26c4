"""``stead help``: what an error means and what to do about it, from the reference that ships with stead."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Final

import click

from stead.cli.style import emit_json, emit_table, json_option
from stead.errors import UsageError

HEADING: Final = re.compile(r"^## `(?P<code>[a-z-]+)`[^\n]*\n", re.MULTILINE)


def reference_text() -> str:
    """The error reference: beside this file when installed, in ``docs/reference`` when run from a checkout."""
    here = Path(__file__)
    for place in (here.with_name("errors.md"), here.parents[3] / "docs" / "reference" / "errors.md"):
        if place.is_file():
            return place.read_text(encoding="utf-8")
    raise UsageError("the error reference is not installed.", hint="reinstall stead")


def sections(text: str) -> dict[str, str]:
    """Error code to its section, without the heading, in the order of the reference."""
    found = list(HEADING.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    return {match["code"]: text[match.end() : end].strip() for match, end in zip(found, ends, strict=True)}


def first_sentence(section: str) -> str:
    """A section's first sentence, on one line."""
    paragraph = " ".join(section.split("\n\n", 1)[0].split())
    return re.split(r"(?<=\.) ", paragraph, maxsplit=1)[0]


@click.command("help")
@click.argument("code", required=False)
@json_option
def command(code: str | None, *, as_json: bool) -> None:
    """Explain the error CODE, such as `budget-exceeded`; without CODE, list all errors."""
    known = sections(reference_text())
    if code is None:
        if as_json:
            emit_json(known)
        else:
            emit_table(("error", "meaning"), [(name, first_sentence(text)) for name, text in known.items()])
        return
    wanted = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", code).lower()
    if wanted not in known:
        near = difflib.get_close_matches(wanted, known, n=1)
        hint = f"did you mean `stead help {near[0]}`?" if near else "`stead help` lists them"
        raise UsageError(f"there is no error called {code!r}.", hint=hint)
    if as_json:
        emit_json({"error": wanted, "text": known[wanted]})
    else:
        click.echo(f"{wanted}\n\n{known[wanted]}")
