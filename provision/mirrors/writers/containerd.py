"""containerd: a hosts.toml for docker.io (github.com/containerd/containerd, docs/hosts.md)."""

from __future__ import annotations

import re
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit

from provision.errors import StepFailed
from provision.machines.interface import Machine
from provision.mirrors import registries
from provision.mirrors.asking import ask
from provision.mirrors.interface import Place, Plan, Scope, Verified, not_in_force, read_text
from provision.mirrors.texts import toml

TOOL = "containerd"
SCOPES: tuple[Scope, ...] = ("system",)
OVERRIDES: tuple[str, ...] = ()
MAIN = "etc/containerd/config.toml"


def current(machine: Machine, place: Place) -> str:
    """See `Writer.current`."""
    found = _hosts(_file(place))
    return found[0].replace("/v2", "", 1) if found else ""


def plan(place: Place, urls: Sequence[str]) -> Plan:
    """See `Writer.plan`. Hosts that are there stay; a mirror's path is addressed below /v2 and overrides the usual."""
    path = _file(place)
    text = read_text(path)
    document = toml.parse(path, text)
    if "host" not in document:
        document["host"] = tomlkit.table(is_super_table=True)
    hosts: Any = document["host"]
    if not isinstance(hosts, MutableMapping):
        raise StepFailed(f"`host` in {path} is not a table", hint="mend it first")
    for address in map(_address, urls):
        if address not in hosts:
            hosts[address] = _host("/v2/" in address)
    main = read_text(place.root / MAIN) or ""
    notes = (
        () if "certs.d" in main else ("containerd's CRI reads it only with `config_path = /etc/containerd/certs.d` set",)
    )
    return Plan((place.edit(TOOL, path, text, tomlkit.dumps(document), urls),), notes)


def verify(machine: Machine, place: Place, urls: Sequence[str]) -> Verified:
    """See `Writer.verify`: containerd reads the file at each pull and shows it nowhere; whether its CRI looks into the
    folder at all, `containerd config dump` tells."""
    path = _file(place)
    hosts = _hosts(path)
    missing = [address for address in map(_address, urls) if address not in hosts]
    if missing:
        raise not_in_force(TOOL, " ".join(missing), " ".join(hosts))
    said = ask(machine, ["containerd", "--config", str(place.root / MAIN), "config", "dump"])
    if said is None:
        return Verified(TOOL, "", "there is no containerd here to ask; read again as TOML: " + " ".join(hosts))
    folders = ":".join(re.findall(r"""config_path = ["'](.*)["']""", said)).split(":")
    if str(path.parent.parent) not in folders:
        return Verified(TOOL, "", f"containerd is not set to look into {path.parent.parent}: config_path, see the note")
    return Verified(TOOL, "containerd config dump", f"config_path {path.parent.parent}: {' '.join(hosts)}")


def _file(place: Place) -> Path:
    return place.root / "etc/containerd/certs.d/docker.io/hosts.toml"


def _hosts(path: Path) -> list[str]:
    return list(toml.parse(path, read_text(path)).get("host", {}))


def _address(url: str) -> str:
    mirror = registries.parse(TOOL, url)
    return f"{mirror.scheme}://{mirror.host}" + (f"/v2/{mirror.path}" if mirror.path else "")


def _host(has_path: bool) -> Any:
    table = tomlkit.table()
    table["capabilities"] = ["pull", "resolve"]
    if has_path:
        table["override_path"] = True
    return table
