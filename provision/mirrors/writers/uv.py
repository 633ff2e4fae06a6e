"""uv: `[[index]]` with `default = true` in uv.toml (docs.astral.sh/uv/reference/settings). uv reads none of pip's files."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

import tomlkit
from tomlkit.items import AoT

from provision.machines.interface import Machine
from provision.mirrors.asking_uv import OVERRIDES as OVERRIDES
from provision.mirrors.asking_uv import emitted, index_of, own_index
from provision.mirrors.interface import Place, Plan, Scope, Verified, not_in_force, read_text, single, unreadable
from provision.mirrors.texts import toml

TOOL = "uv"
SCOPES: tuple[Scope, ...] = ("user", "system")


def current(machine: Machine, place: Place) -> str:
    """See `Writer.current`: in its files or variables."""
    return own_index(machine)


def plan(place: Place, urls: Sequence[str]) -> Plan:
    """See `Writer.plan`."""
    url = single(TOOL, urls)
    path = place.file("uv/uv.toml", "etc/uv/uv.toml")
    text = read_text(path)
    document = toml.parse(path, text)
    if not isinstance(document.get("index", []), list):
        raise unreadable(path, "a setting of uv", "`index` must be a list of tables: [[index]]")
    _set_default_index(document, url)
    return Plan((place.edit(TOOL, path, text, tomlkit.dumps(document), urls),), _notes(document))


def verify(machine: Machine, place: Place, urls: Sequence[str]) -> Verified:
    """See `Writer.verify`: `uv pip compile --emit-index-url` of nothing names the index, and sends nothing."""
    wanted = single(TOOL, urls)
    file = None if place.is_this_machine else str(place.file("uv/uv.toml", "etc/uv/uv.toml"))
    said = emitted(machine, file, OVERRIDES)
    if said is None:
        return Verified(TOOL, "", "there is no uv here to ask")
    if index_of(said) != wanted:
        raise not_in_force(TOOL, wanted, said)
    return Verified(TOOL, "uv pip compile --emit-index-url", f"--index-url {wanted}")


def _set_default_index(document: tomlkit.TOMLDocument, url: str) -> None:
    indexes: Any = document.get("index", [])
    for entry in indexes:
        if isinstance(entry, MutableMapping) and entry.get("default") is True:
            if entry.get("url") != url:
                entry["url"] = toml.marked(url)
            return
    new: Any = tomlkit.inline_table() if "index" in document and not isinstance(indexes, AoT) else tomlkit.table()
    new["url"] = tomlkit.string(url) if "index" in document and not isinstance(indexes, AoT) else toml.marked(url)
    new["default"] = True
    if "index" not in document:
        document.append("index", tomlkit.aot())
    document["index"].append(new)


def _notes(document: tomlkit.TOMLDocument) -> tuple[str, ...]:
    section = document.get("pip")
    old = [name for name, found in (("index-url", document), ("[pip] index-url", section or {})) if "index-url" in found]
    return tuple(f"{name} stands there too: uv's default index goes before it" for name in old)
