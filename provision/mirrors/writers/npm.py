"""npm: `registry` in the user's .npmrc (docs.npmjs.com, "npmrc"). What a scope or a project names stands over it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from provision.machines.interface import Machine
from provision.mirrors.asking import ask
from provision.mirrors.interface import MARK, Place, Plan, Scope, Verified, not_in_force, read_text, single
from provision.mirrors.texts import npmrc
from provision.mirrors.veil import without_user

TOOL = "npm"
SCOPES: tuple[Scope, ...] = ("user",)
OVERRIDES = ("NPM_CONFIG_REGISTRY", "npm_config_registry")
QUESTION = ("npm", "config", "get", "registry", "--logs-max=0", "--cache=/dev/null")  # it leaves nothing in a home
FILE = ("NPM_CONFIG_USERCONFIG", "npm_config_userconfig")


def current(machine: Machine, place: Place) -> str:
    """See `Writer.current`."""
    said = _registry(machine, ())
    return said if said != default_registry(machine, place) else ""


def default_registry(machine: Machine, place: Place) -> str:
    """Return the registry that npm asks where nobody set another; empty without npm. Sends nothing."""
    return _registry(machine, OVERRIDES, "--userconfig", "/nonexistent/user", "--globalconfig", "/nonexistent/global")


def plan(place: Place, urls: Sequence[str]) -> Plan:
    """See `Writer.plan`. Credentials go into `_auth` for that address, the only place where npm takes them."""
    path = _file(place)
    text = read_text(path)
    return Plan((place.edit(TOOL, path, text, npmrc.set_keys(text or "", _keys(single(TOOL, urls)), MARK), urls),))


def verify(machine: Machine, place: Place, urls: Sequence[str]) -> Verified:
    """See `Writer.verify`: `npm config get registry`, away from any project's own file."""
    said = ask(machine, [*QUESTION, "--prefix", "/"], without=OVERRIDES)
    if said is None:
        return Verified(TOOL, "", "there is no npm here to ask")
    wanted = _keys(single(TOOL, urls))["registry"]
    if said.strip() != wanted:
        raise not_in_force(TOOL, wanted, said)
    return Verified(TOOL, "npm config get registry", wanted)


def _registry(machine: Machine, without: Sequence[str], *more: str) -> str:
    return (ask(machine, [*QUESTION, *more], without=without) or "").strip().rstrip("/")


def _keys(url: str) -> dict[str, str]:
    """npm ends a registry's address with a slash, and finds what belongs to it by the address without its scheme."""
    parts = urlsplit(url)
    registry = f"{without_user(url)}/"
    if parts.username is None:
        return {"registry": registry}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"registry": registry, f"{registry.partition(':')[2]}:_auth": base64.b64encode(pair.encode()).decode()}


def _file(place: Place) -> Path:
    given = next((place.environ[name] for name in FILE if place.environ.get(name)), "")
    return Path(given) if given else place.home / ".npmrc"
