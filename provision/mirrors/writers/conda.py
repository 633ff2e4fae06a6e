"""conda and mamba: `default_channels` and `custom_channels` in .condarc (docs.conda.io, "Using the .condarc file")."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from provision.machines.interface import Machine
from provision.mirrors.asking import ask
from provision.mirrors.interface import MARK, Place, Plan, Scope, Verified, not_in_force, read_text, single, unreadable
from provision.mirrors.texts import yaml_mapping

TOOL = "conda"
SCOPES: tuple[Scope, ...] = ("user", "system")
OVERRIDES = ("CONDARC", "CONDA_DEFAULT_CHANNELS", "CONDA_CHANNEL_ALIAS")


def current(machine: Machine, place: Place) -> str:
    """See `Writer.current`: what its files come to, merged by its own rule."""
    first = next(iter(_effective(place)), "")
    return first.removesuffix("/pkgs/main") if first.endswith("/pkgs/main") else ""


def plan(place: Place, urls: Sequence[str]) -> Plan:
    """See `Writer.plan`. The address is a mirror's `/anaconda`, with `pkgs` and `cloud` below it."""
    url = single(TOOL, urls)
    path = _file(place)
    text = read_text(path)
    try:
        changed = yaml_mapping.set_keys(text or "", settings(url), MARK)
    except ValueError as error:
        raise unreadable(path, "YAML that can be changed in place", str(error)) from error
    return Plan((place.edit(TOOL, path, text, changed, urls),))


def settings(url: str) -> dict[str, object]:
    """Return the keys that point conda's defaults and conda-forge at a mirror."""
    return {
        "default_channels": [f"{url}/pkgs/main", f"{url}/pkgs/r"],
        "custom_channels": {"conda-forge": f"{url}/cloud"},
    }


def verify(machine: Machine, place: Place, urls: Sequence[str]) -> Verified:
    """See `Writer.verify`: `conda config --show` names the channels."""
    wanted = f"{single(TOOL, urls)}/pkgs/main"
    env = {} if place.is_this_machine else {"CONDARC": str(_file(place))}
    said = ask(machine, ["conda", "config", "--show", "default_channels"], without=OVERRIDES, env=env)
    if said is None:
        return _read_back(place, wanted)
    if wanted not in said:
        raise not_in_force(TOOL, wanted, said)
    return Verified(TOOL, "conda config --show", wanted)


def _read_back(place: Place, wanted: str) -> Verified:
    """Without a conda: its files, read again."""
    channels = _effective(place)
    if channels[:1] != [wanted]:
        raise not_in_force(TOOL, wanted, "\n".join(channels), "another .condarc stands over it")
    return Verified(TOOL, "", f"there is no conda here to ask; its files, merged by its own rule, begin with {wanted}")


def _effective(place: Place) -> list[str]:
    """The default channels: of all files, the later file's first (conda's documentation, "Searching for .condarc")."""
    channels: list[str] = []
    for path in _searched(place):
        try:
            given = yaml_mapping.parse(read_text(path) or "").get("default_channels") or []
        except ValueError as error:
            raise unreadable(path, "YAML", str(error)) from error
        channels = [*map(str, given), *(url for url in channels if url not in given)]
    return channels


def _searched(place: Place) -> list[Path]:
    """The files that conda reads, the one with the last word last; a user's stand over the system's."""
    system = [place.root / "etc/conda" / name for name in (".condarc", "condarc")]
    if place.scope == "system":
        return system
    users = [place.config / "conda/.condarc", place.home / ".conda/.condarc", place.home / ".conda/condarc"]
    return [*system, *users, place.home / ".condarc"]


def _file(place: Place) -> Path:
    return place.home / ".condarc" if place.scope == "user" else place.root / "etc" / "conda" / ".condarc"
