"""The owner's TOML files (settings, cards, policies), read into their types; errors name the place in the file."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from stead.errors import UsageError

T = TypeVar("T", bound=msgspec.Struct)
_STEP: Final = re.compile(r"\.(\w+)|\[(\d+)\]")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`")
_MISSING: Final = re.compile(r"Object missing required field `(.*)`")
_NO_WORD: Final = re.compile(r"Invalid enum value '(.*)'")


def read_toml(
    text: str,
    type_: type[T],
    what: str,
    *,
    overriding: Mapping[str, Any] | None = None,
    prepare: Callable[[dict[str, Any]], None] | None = None,
) -> T:
    """The value that a TOML text describes.

    Args:
        text: the file's text.
        type_: what it must be.
        what: what errors call the file.
        overriding: keys that win over those of the file; texts are converted to what they must be.
        prepare: changes what the text says into what the type holds, where people write it another way.

    Raises:
        UsageError: not TOML; or an unknown or missing key, or a value that cannot be, with its place in the file.
    """
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # tomllib's own, numbers of thousands of digits, brackets without end
        raise UsageError(f"{what} is not TOML: {error}.") from None
    values |= overriding or {}
    if prepare is not None:
        prepare(values)
    try:
        return msgspec.convert(values, type_, strict=overriding is None)
    except msgspec.ValidationError as error:
        raise _explained(str(error), values, type_, what) from None


def _explained(text: str, values: dict[str, Any], type_: type[msgspec.Struct], what: str) -> UsageError:
    message, _, path = text.partition(" - at `$")
    steps = [name or int(index) for name, index in _STEP.findall(path)]
    place = f"{what}{_place(values, steps)}"
    known = _known(type_, steps)
    if found := _UNKNOWN.fullmatch(message):
        return UsageError(f"{place}: there is no key {found[1]!r}.", hint=_nearest(found[1], known, "keys"))
    if found := _MISSING.fullmatch(message):
        return UsageError(f"{place}: the key {found[1]!r} is missing.")
    if found := _NO_WORD.fullmatch(message):
        return UsageError(f"{place}: {found[1]!r} is not possible here.", hint=_nearest(found[1], known, "possible"))
    plain = message.replace("`", "").replace("array", "list").replace("object", "table")
    return UsageError(f"{place}: {plain[:1].lower()}{plain[1:]}.")


def _place(values: Any, steps: list[str | int]) -> str:
    """Where in the file: keys, and of a list's members the name, or else the number as people count."""
    words = []
    for step in steps:
        try:
            values = values[step]
        except (KeyError, IndexError, TypeError):
            values = None
        if isinstance(step, str):
            words.append(step)
        else:
            name = values.get("name") if isinstance(values, dict) else None
            words.append(repr(name) if isinstance(name, str) else f"number {step + 1}")
    return f", {' '.join(words)}" if words else ""


def _known(type_: type[msgspec.Struct], steps: list[str | int]) -> list[str]:
    """The keys, or the words, that can stand at a place."""
    (schema,), components = msgspec.json.schema_components([type_])
    schema = _resolved(schema, components)
    for step in steps:
        if isinstance(step, str):
            schema = schema.get("properties", {}).get(step, {})
        else:
            schema = schema.get("items") or next(iter(schema.get("prefixItems", ())), {})
        schema = _resolved(schema, components)
    return [str(word) for word in schema.get("enum", schema.get("properties", ()))]


def _resolved(schema: Any, components: Mapping[str, Any]) -> dict[str, Any]:
    choices = schema.get("anyOf", [schema]) if isinstance(schema, dict) else [{}]
    chosen: dict[str, Any] = next((each for each in choices if "$ref" in each), choices[0])
    reference = str(chosen.get("$ref", "")).rpartition("/")[2]
    return components[reference] if reference else chosen


def _nearest(word: str, known: list[str], label: str) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f'did you mean "{near[0]}"?' if near else f"{label}: {', '.join(known)}"
