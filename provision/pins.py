"""What `provision.lock` pins of an environment: the choice, the base by digest, every package by version and hashes. Pure.

The lock's section `resolution` holds one entry for each kind of place (`cp311-x86_64-cpu-nvcc`), so that one file serves a
laptop, a GPU server and an image; entries made later prefer the versions of those before them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from provision.errors import UsageError
from provision.resolve import Nearest, Reason, Resolution

LAYERS = ("tools", "toolkit", "torch", "libraries", "packages")  # in the order in which an image puts them down
OURS = ("pip", "aiohttp")  # for people, and for the hub when it is served from inside
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)")
_HASH = re.compile(r"--hash=(\S+:[0-9a-f]+)")


@dataclass(frozen=True)
class Pin:
    """One package: any file of it that has one of these hashes (`sha256:…`), in one of `LAYERS`."""

    name: str
    version: str
    hashes: tuple[str, ...]
    layer: str


@dataclass(frozen=True)
class Pins:
    """One entry. `asked` are the requirements of each layer; `base_digest` is empty where the base has no registry's."""

    asked: Mapping[str, tuple[str, ...]]
    torch: str
    wheel_tag: str
    base: str
    base_digest: str
    pins: tuple[Pin, ...]

    def requirements(self, layers: Sequence[str] = LAYERS) -> str:
        """Return the pins of `layers` as a requirements file with hashes."""
        lines = []
        for pin in self.pins:
            if pin.layer in layers:
                lines.append(" \\\n    ".join([f"{pin.name}=={pin.version}", *(f"--hash={each}" for each in pin.hashes)]))
        return "\n".join(lines) + "\n" if lines else ""

    def version(self, name: str) -> str:
        """Return the version of a package, or an empty string."""
        return next((pin.version for pin in self.pins if pin.name == name), "")

    @property
    def digest(self) -> str:
        """The sha256 of the entry: what an image is labelled with."""
        text = json.dumps(to_plain(self), sort_keys=True)
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def kind_of_place(resolution: Resolution, machine: str) -> str:
    """Return the entry's name: Python, machine, variant, and whether nvcc is among the packages."""
    python = resolution.python.replace(".", "")
    return f"cp{python}-{machine}-{resolution.variant}{'-nvcc' if resolution.toolkit_requirement else ''}"


def asked_of(resolution: Resolution, libraries: Sequence[str], packages: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return what is asked of each layer."""
    toolkit = resolution.toolkit_requirement
    return {
        "tools": ("uv",),
        "toolkit": (toolkit,) if toolkit else (),
        "torch": (resolution.torch_requirement,),
        "libraries": (*libraries, *OURS),
        "packages": tuple(packages),
    }


def as_locked(
    sections: Mapping[str, Any], machine: str, free: Resolution, again: Callable[[str, str], Resolution], lock: str
) -> Resolution:
    """Return the answer that a lock makes of `free`, which is without one; `again` resolves for a torch and a wheel tag.

    The entry of this very place decides, also where it cannot be followed; where there is none, the first other of the
    variant that runs here does, so that machines of one lock agree where they can. Raises UsageError `lock-invalid`.
    """
    entries = sections.get("resolution", {})
    own = kind_of_place(free, machine)
    names = [own] if own in entries else [name for name in sorted(entries) if name.split("-")[2:3] == [free.variant]]
    for entry in filter(None, (find(sections, name) for name in names)):
        if (entry.torch, entry.wheel_tag) == (free.torch, free.wheel_tag):
            return free
        answer = again(entry.torch, entry.wheel_tag)
        pinned = Reason("lock", f"torch {entry.torch}+{entry.wheel_tag}", f"{lock} pins it; without it: {free.torch}")
        answer = replace(answer, reasons=(pinned, *answer.reasons))
        if answer.ok:
            return answer
        if own in entries:
            return replace(answer, nearest=(_unpinned(own, free, lock), *answer.nearest))
    return free


def _unpinned(name: str, free: Resolution, lock: str) -> Nearest:
    text = f"without the entry {name} of {lock}, on this machine alone: torch {free.torch}+{free.wheel_tag}"
    return Nearest("lock", name, text, free.torch, free.wheel_tag)


def find(sections: Mapping[str, Any], name: str) -> Pins | None:
    """Return the entry of that name, or None. Raises UsageError `lock-invalid`."""
    entry = sections.get("resolution", {}).get(name)
    try:
        return _from_plain(entry) if entry is not None else None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"the lock's entry {name} is not one of this program",
            context=repr(error),
            hint="restore it from version control, or delete it to pin anew",
            reference="lock-invalid",
        ) from None


def relatives(sections: Mapping[str, Any], name: str) -> list[Pins]:
    """Return the entries whose versions a new one prefers: its own former self first."""
    entries = sections.get("resolution", {})
    names = sorted(entries, key=lambda each: (each != name, each))
    return [found for each in names if (found := find(sections, each))]


def preferences(entries: Sequence[Pins], asked: Mapping[str, tuple[str, ...]]) -> str:
    """Return requirements that the installer's resolver prefers, without those that are asked for by an exact version."""
    exact = {_name(each) for layer in asked.values() for each in layer if "==" in each}
    chosen: dict[str, str] = {}
    for entry in entries:
        for pin in entry.pins:
            chosen.setdefault(pin.name, pin.version)
    return "".join(f"{name}=={version}\n" for name, version in sorted(chosen.items()) if name not in exact)


def parse_compiled(text: str, asked: Mapping[str, tuple[str, ...]]) -> tuple[Pin, ...]:
    """Return the pins in what `uv pip compile --generate-hashes --annotation-style line` wrote.

    Each stands in the first layer whose requirements lead to it: a later requirement never moves an earlier layer's.
    """
    found: dict[str, tuple[str, list[str]]] = {}
    parents: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        start = _PIN.match(line)
        if start:
            name = _normal(start["name"])
            found[name] = (start["version"], [])
        found.get(name, ("", []))[1].extend(_HASH.findall(line))
        if "# via " in line:
            parents[name] = [_normal(each.strip()) for each in line.split("# via ")[1].split(",")]
    layer_of = _layers(asked, parents)
    return tuple(Pin(name, version, tuple(hashes), layer_of[name]) for name, (version, hashes) in sorted(found.items()))


def _layers(asked: Mapping[str, tuple[str, ...]], parents: Mapping[str, Sequence[str]]) -> dict[str, str]:
    children: dict[str, list[str]] = {}
    for name, above in parents.items():
        for parent in above:
            children.setdefault(parent, []).append(name)
    layer_of: dict[str, str] = {}
    for layer in LAYERS:
        waiting = [_name(each) for each in asked.get(layer, ())]
        while waiting:
            name = waiting.pop()
            if name not in layer_of:
                layer_of[name] = layer
                waiting.extend(children.get(name, ()))
    return layer_of


def to_plain(entry: Pins) -> dict[str, Any]:
    """Return the entry as the lock keeps it."""
    return {
        "asked": {layer: list(each) for layer, each in entry.asked.items()},
        "torch": entry.torch,
        "wheel_tag": entry.wheel_tag,
        "base": entry.base,
        "base_digest": entry.base_digest,
        "packages": {
            pin.name: {"version": pin.version, "layer": pin.layer, "hashes": list(pin.hashes)} for pin in entry.pins
        },
    }


def _from_plain(entry: Mapping[str, Any]) -> Pins:
    pins = [
        Pin(name, str(row["version"]), tuple(row["hashes"]), str(row["layer"])) for name, row in entry["packages"].items()
    ]
    return Pins(
        asked={layer: tuple(each) for layer, each in entry["asked"].items()},
        torch=str(entry["torch"]),
        wheel_tag=str(entry["wheel_tag"]),
        base=str(entry["base"]),
        base_digest=str(entry["base_digest"]),
        pins=tuple(sorted(pins, key=lambda pin: pin.name)),
    )


def _name(requirement: str) -> str:
    return _normal(re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0])


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
