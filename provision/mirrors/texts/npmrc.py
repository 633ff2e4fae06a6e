"""An .npmrc (docs.npmjs.com, "npmrc"): keys before any section; all other lines as they were."""

from __future__ import annotations

import re

_KEY = re.compile(r"^\s*([^;#\[=\s][^=]*?)\s*(?:=|$)")


def set_keys(text: str, keys: dict[str, str], mark: str) -> str:
    """Return `text` with each key set where it stands, else behind the others under a comment with `mark`."""
    lines = text.splitlines(keepends=True)
    newline = "\r\n" if text.count("\r\n") * 2 > text.count("\n") else "\n"
    end = next((number for number, line in enumerate(lines) if line.lstrip().startswith("[")), len(lines))
    missing = []
    for key, value in keys.items():
        places = [number for number in range(end) if (match := _KEY.match(lines[number])) and match[1] == key]
        for number in places:
            if _value(lines[number]) != value:
                ending = lines[number][len(lines[number].rstrip("\r\n")) :]
                lines[number] = f"{key}={value}{ending}"
        missing += [] if places else [f"{key}={value}{newline}"]
    if missing and end and not lines[end - 1].endswith("\n"):
        lines[end - 1] += newline
    added = [f"# {mark}{newline}", *missing] if missing else []
    return "".join([*lines[:end], *added, *lines[end:]])


def _value(line: str) -> str:
    return line.partition("=")[2].strip()
