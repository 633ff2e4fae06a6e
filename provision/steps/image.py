"""The image that checks and people run in, built from `Dockerfile.cuda` and what the lock pins."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from textwrap import shorten

from provision.errors import BuildFailed, StepFailed
from provision.events import Listener, Note
from provision.facts.host import Disk
from provision.facts.network import is_loopback
from provision.machines.building import Order, without_mounts
from provision.machines.engine import Engine
from provision.mirrors.veil import without_user
from provision.pins import LAYERS, Pins
from provision.steps.base import COMPILER, PACKAGES
from provision.steps.environment import why
from provision.steps.inputs import Inputs
from provision.steps.interface import Change

FINGERPRINT = "io.provision.fingerprint"
NOTHING = b"kept so that the folder is never empty\n"
SCRIPTS = ("system.sh", "install.sh", "sbom.py", "health.py")
_INSTRUCTION = re.compile(r"^(Step \d+/\d+ :|(\[\d+/\d+\] )?STEP \d+/\d+: |#\d+ (?=\[))(?P<what>.*)")
_WORDS = 70  # characters of an instruction that are told: a line of a terminal, with the step's name


@dataclass(frozen=True)
class Recipe:
    """Everything that goes into an image. `wheels` are files of this machine, by name."""

    base: str
    variant: str
    python: str
    driver_floor: str
    toolkit: bool
    pins: Pins
    inputs: Inputs
    wheels: Mapping[str, Path]
    labels: Mapping[str, str]

    def arguments(self) -> dict[str, str]:
        """Return the Dockerfile's ARGs; an empty one is left to the tool's own default."""
        packages = (*PACKAGES, *(COMPILER if self.toolkit else []))
        given = {
            "BASE": self.base,
            "PYTHON": self.python,
            "SYSTEM_PACKAGES": " ".join(packages),
            "DRIVER_FLOOR": self.driver_floor if self.variant == "cuda" else "",
            **self.inputs.arguments(),
        }
        return {name: value for name, value in given.items() if value}

    def context(self) -> dict[str, bytes | Path]:
        """Return the build context: path in it → bytes, or a file."""
        found: dict[str, bytes | Path] = {"ca/README": NOTHING, "wheels/README": NOTHING}
        found["Dockerfile"] = _file("Dockerfile.cuda")
        found.update({name: _file(name) for name in SCRIPTS})
        found.update({f"layers/{layer}.txt": self.pins.requirements([layer]).encode() for layer in LAYERS})
        found.update({f"ca/{name}": path for name, path in self.inputs.certificates.items()})
        found.update({f"wheels/{name}": path for name, path in self.wheels.items()})
        return found

    def fingerprint(self) -> str:
        """Return the digest of all of it, wheels by name and size; whatever index serves torch, the lock pins its bytes."""
        given = {name: value for name, value in self.arguments().items() if name != "TORCH_INDEX"}
        digest = hashlib.sha256(json.dumps([self.variant, given], sort_keys=True).encode())
        for name, content in sorted(self.context().items()):
            told = f"{content.name} {content.stat().st_size}".encode() if isinstance(content, Path) else content
            digest.update(name.encode() + b"\0" + told + b"\0")
        return digest.hexdigest()

    def order(self, tag: str) -> Order:
        """Return what the engine is asked to build."""
        return Order(
            context=self.context(),
            tag=tag,
            target=self.variant,
            arguments={**self.arguments(), **self.inputs.proxies()},
            labels={**self.labels, "io.provision.lock": self.pins.digest, FINGERPRINT: self.fingerprint()},
            secrets=self.inputs.secrets(),
        )


class Image:
    """An image of ours by its tag; as wanted when its fingerprint label is the recipe's.

    `recipe` returns None while nothing is pinned; `disk` is where the engine keeps images, None where it is elsewhere;
    `peak` the bytes that a first build takes of it for a while.
    """

    name = "image"

    def __init__(
        self, engine: Engine, tag: str, peak: int, recipe: Callable[[], Recipe | None], disk: Callable[[], Disk | None]
    ) -> None:
        self._engine = engine
        self.tag = tag
        self._peak = peak
        self._recipe = recipe
        self._disk = disk

    def diff(self) -> Change | None:
        """See `Step.diff`."""
        recipe = self._recipe()
        here = self._engine.image(self.tag)
        if recipe and here and (here["Config"]["Labels"] or {}).get(FINGERPRINT) == recipe.fingerprint():
            return None
        details = [f"up to {_size(self._peak)} of disk while it builds"]
        if recipe:
            details += [f"FROM {recipe.base}", f"torch {recipe.pins.version('torch')} and all else as the lock pins it"]
        return Change(f"{'rebuild' if here else 'build'} {self.tag}", details)

    def apply(self, listener: Listener) -> None:
        """See `Step.apply`. Raises BuildFailed; layers that were built stay cached for the next try."""
        recipe = self._recipe()
        if recipe is None:
            raise StepFailed("nothing is pinned yet for this image", hint="provision image build")
        self._make_sure_of_room()
        self._make_sure_of_mirrors(recipe.inputs)
        told: set[str] = set()

        def say(line: str) -> None:
            found = _INSTRUCTION.match(line)
            words = shorten(without_mounts(found["what"]), _WORDS, placeholder=" …") if found else ""
            if words and words not in told:
                told.add(words)
                listener(Note(self.name, words))
            else:
                listener(Note(self.name, line, "detail"))

        def fall_back(reason: str) -> None:
            listener(Note(self.name, f"the classic builder, for want of BuildKit: {reason}", "warn"))

        try:
            self._engine.build(recipe.order(self.tag), say, fall_back)
        except BuildFailed as error:
            error.hint = error.hint or why(f"{error.message}\n{error.context}")
            raise

    def _make_sure_of_mirrors(self, inputs: Inputs) -> None:
        for name, url in {"mirrors.pip": inputs.pip_index, "mirrors.torch": inputs.torch_index}.items():
            if is_loopback(url):
                raise StepFailed(
                    f"{name} is {without_user(url)}: in a build, that is the build's own loopback, and nobody serves there",
                    hint=f"give {name} an address that containers reach too: this machine's own, or the engine's bridge's",
                    reference="mirror-on-loopback",
                )

    def _make_sure_of_room(self) -> None:
        disk = self._disk()
        if disk and disk.free is not None and disk.free < self._peak and not self._engine.image(self.tag):
            raise StepFailed(
                f"a first build takes up to {_size(self._peak)}, and {disk.path} has {_size(disk.free)} free",
                hint="docker system prune   # or move the engine's folder: `data-root` in /etc/docker/daemon.json",
                reference="disk-too-small",
            )


def resolution_label(torch: str, wheel_tag: str, toolkit: str, floor: str, architectures: Sequence[str]) -> str:
    """Return what an image's label says of its resolution: one line of JSON."""
    told = {"torch": torch, "wheel_tag": wheel_tag, "cuda_toolkit": toolkit, "driver_floor": floor}
    return json.dumps({**told, "architectures": list(architectures)}, separators=(",", ":"))


def _file(name: str) -> bytes:
    return (resources.files("images") / name).read_bytes()


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
