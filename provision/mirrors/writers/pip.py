"""pip: `index-url` in pip.conf (pip.pypa.io/en/stable/topics/configuration). uv reads none of it."""

from __future__ import annotations

import configparser
import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from provision.errors import UsageError
from provision.facts.python import PipState, in_force, parse_pip, probe_pip
from provision.machines.interface import Machine
from provision.mirrors.asking import ask
from provision.mirrors.interface import (
    MARK,
    Place,
    Plan,
    Scope,
    Verified,
    has_credentials,
    not_in_force,
    read_text,
    single,
    unreadable,
)
from provision.mirrors.texts import ini

TOOL = "pip"
SCOPES: tuple[Scope, ...] = ("user", "system")
OVERRIDES = ("PIP_INDEX_URL", "PIP_CONFIG_FILE")
OPTION = "index-url"


def current(machine: Machine, place: Place) -> str:
    """See `Writer.current`: as pip itself says, of all its files and variables."""
    return probe_pip(machine, place.environ, "python3").index_url


def plan(place: Place, urls: Sequence[str]) -> Plan:
    """See `Writer.plan`."""
    url = single(TOOL, urls)
    path = place.file("pip/pip.conf", "etc/pip.conf")
    text = read_text(path)
    try:
        settings = ini.parse(text or "", same)
        _check_plain(url, settings)
        if settings.get("global", {}).get(OPTION) == url and not _others(settings, url):
            return Plan((place.edit(TOOL, path, text, text or "", urls),))
        changed = ini.set_option(text or "", "global", OPTION, url, MARK, same)
    except (configparser.Error, ValueError) as error:
        raise unreadable(path, "INI", str(error)) from error
    notes = []
    if extra := settings.get("global", {}).get("extra-index-url"):
        notes.append(f"{path} also asks {len(extra.split())} extra-index-url: kept, and competing for the same names")
    if place.scope == "system" and has_credentials(url):
        notes.append(f"{path} gets 0600 for the credentials in it: only root's pip will read it")
    return Plan((place.edit(TOOL, path, text, changed, urls),), tuple(notes))


def same(name: str) -> str:
    """Return an option's name as pip compares it."""
    return name.lower().replace("_", "-").removeprefix("--")


def verify(machine: Machine, place: Place, urls: Sequence[str]) -> Verified:
    """See `Writer.verify`: `pip config list` names the index that `pip install` would ask."""
    file = str(place.file("pip/pip.conf", "etc/pip.conf"))
    env = {} if place.is_this_machine else {"PIP_CONFIG_FILE": file}

    def asked(*words: str) -> str | None:
        return ask(machine, ["python3", "-m", "pip", "config", *words], without=OVERRIDES, env=env)

    done = asked("list")
    if done is None:
        return Verified(TOOL, "", "there is no pip here to ask; its own parser's rules were kept to")
    wanted = single(TOOL, urls)
    if parse_pip(in_force(done, lambda key: asked("get", key) or ""), PipState.READ).index_url != wanted:
        raise not_in_force(TOOL, wanted, done, "an environment's own pip.conf may stand over it: $VIRTUAL_ENV/pip.conf")
    return Verified(TOOL, "pip config list", f"{OPTION} {wanted}")


def _others(settings: dict[str, dict[str, str | None]], url: str) -> bool:
    return any(pairs.get(OPTION, url) != url for pairs in settings.values())


def _check_plain(url: str, settings: dict[str, dict[str, str | None]]) -> None:
    """pip asks no plain-HTTP host that is not trusted by name (loopback is)."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    trusted = (settings.get("global", {}).get("trusted-host") or "").split()
    if parts.scheme == "http" and not _is_loopback(host) and not {host, f"{host}:{parts.port}"} & set(trusted):
        hint = f"use https, or trust it yourself first: pip config set global.trusted-host {host}"
        raise UsageError(f"pip will not ask {host} over plain HTTP", hint=hint)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
