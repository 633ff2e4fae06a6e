"""A base image: here already, from its registry or a mirror of that, or made of an apt mirror with no registry at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Protocol

from provision.errors import BuildFailed, ProvisionError, StepFailed
from provision.events import Listener, Note
from provision.files import scratch
from provision.machines.confined import apart
from provision.machines.engine import Engine
from provision.machines.interface import Machine
from provision.steps.environment import run
from provision.steps.interface import Change

PACKAGES = ("python3", "python3-venv", "ca-certificates")
COMPILER = ("g++", "libpython3-dev")  # nvcc needs a host compiler; what torch.compile makes includes Python.h
LEFT_OUT = ("doc", "info", "locale", "man")  # of /usr/share, as in Debian's own slim images; licences stay
RECIPE = "io.provision.recipe"  # the label of how a base was made: one of another version is made anew
MERGED = "/usr/share/mmdebstrap/hooks/maybe-merged-usr"  # without it, minbase takes perl for the package usrmerge


class Route(Protocol):
    """One way to a base. `tag` is what the image is called once it is here."""

    @property
    def tag(self) -> str: ...

    @property
    def words(self) -> str: ...

    @property
    def digest(self) -> str:
        """The registry's digest of what is here, or an empty string: none is here, or no registry gave it one."""

    def is_here(self) -> bool:
        """Whether the engine has it."""

    def take(self, listener: Listener) -> None:
        """Bring it. Raises ProvisionError."""


class Pulled:
    """From a registry; with `digest` (`sha256:…`) those very bytes, which the engine itself verifies.

    Where none is pinned, `ask` is asked for the one behind the reference now.
    """

    def __init__(
        self, engine: Engine, reference: str, digest: Callable[[], str] = str, ask: Callable[[str], str] | None = None
    ) -> None:
        self.tag = reference
        self._engine = engine
        self._digest = digest
        self._ask = ask
        self._taken = ""

    @property
    def words(self) -> str:
        return f"pull {self.tag}{'@' if self._digest() else ''}{self._digest()}"

    @property
    def digest(self) -> str:
        """See `Route.digest`. Podman names two of an image out of a list, that of the list and its own."""
        known = self._engine.digests(self.tag)
        wanted = self._digest() or self._taken
        return wanted if wanted in known else next(iter(known), "")

    def is_here(self) -> bool:
        """See `Route.is_here`."""
        digest = self._digest()
        return self._engine.image(self.tag) is not None and (not digest or digest in self._engine.digests(self.tag))

    def take(self, listener: Listener) -> None:
        """See `Route.take`. Raises MachineError with the registry's words.

        A registry that does not answer us may answer the engine, which has mirrors of its own: it is let try the tag.
        """
        digest = self._digest()
        if not digest and self._ask:
            try:
                digest = self._ask(self.tag)
                listener(Note(Base.name, f"{self.tag} is {digest} now"))
            except ProvisionError as error:
                listener(Note(Base.name, f"no digest of {self.tag}: {error.message}; the engine pulls the tag", "detail"))
        self._engine.pull(self.tag, digest)
        self._taken = digest


class Bootstrapped:
    """`provision-base:SUITE`, made by mmdebstrap here: no registry has it, though Podman and containerd name a digest."""

    digest = ""

    def __init__(self, machine: Machine, engine: Engine, suite: str, mirror: str | None) -> None:
        self.tag = f"provision-base:{suite}"
        self._machine = machine
        self._engine = engine
        self._suite = suite
        self._mirror = mirror

    @property
    def words(self) -> str:
        return f"bootstrap {self.tag} from an apt mirror ({', '.join((*PACKAGES, *COMPILER))})"

    def is_here(self) -> bool:
        """See `Route.is_here`: made as it would be now."""
        here = self._engine.image(self.tag)
        return here is not None and (here["Config"]["Labels"] or {}).get(RECIPE) == self._recipe

    def take(self, listener: Listener) -> None:
        """See `Route.take`. Raises BuildFailed where mmdebstrap is missing or fails; it checks the archive's signatures."""
        if self._machine.run(["mmdebstrap", "--version"]).returncode != 0:
            raise BuildFailed(
                "a base without a registry is made by mmdebstrap, which is not here",
                hint="sudo apt-get install mmdebstrap; or name a base: image.base: debian:bookworm-slim; or --engine local",
            )
        with scratch() as place:
            place.chmod(0o755)  # without root, another user's namespace works in it
            archive = place / "base.tar"
            command = [*self._command, str(archive), *([self._mirror] if self._mirror else [])]
            run(apart(self._machine), command, listener, Base.name, {"TMPDIR": str(place)})
            self._engine.import_base(archive, self.tag, {RECIPE: self._recipe})

    @property
    def _command(self) -> list[str]:
        command = [
            "mmdebstrap",
            "--variant=minbase",
            f"--include={','.join((*PACKAGES, *COMPILER))}",
            f"--hook-dir={MERGED}",
        ]
        command += [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in LEFT_OUT]
        return [*command, "--dpkgopt=path-include=/usr/share/doc/*/copyright", self._suite]

    @property
    def _recipe(self) -> str:
        return hashlib.sha256("\0".join(self._command).encode()).hexdigest()


class Elsewhere:
    """No way at all: a base that the lock pins by digest is not made here, where other bytes would bear its name."""

    digest = ""

    def __init__(self, reference: str, digest: str, lock: str) -> None:
        self.tag = reference
        self._pinned = f"{reference}@{digest}"
        self._lock = lock

    @property
    def words(self) -> str:
        return f"nothing else: {self._lock} pins {self._pinned}"

    def is_here(self) -> bool:
        """See `Route.is_here`."""
        return False

    def take(self, listener: Listener) -> None:
        """See `Route.take`. Raises StepFailed."""
        raise StepFailed(
            f"{self._lock} pins {self._pinned}: one that is made here would be another",
            hint=f"bring it (docker load, or mirrors.docker), or delete this machine's entry in {self._lock} to pin anew",
            reference="base-pinned",
        )


class Base:
    """The base, by the first of `routes` that leads to one; each that does not says why."""

    name = "base"

    def __init__(self, engine: Engine, routes: Sequence[Route]) -> None:
        self._engine = engine
        self._routes = tuple(routes)

    @property
    def tag(self) -> str:
        """What the base is called: the route's that is here, else the first's."""
        return next((route.tag for route in self._routes if route.is_here()), self._routes[0].tag)

    @property
    def digest(self) -> str:
        """The registry's digest of it, or an empty string: it is not here, or was made here."""
        return next((route.digest for route in self._routes if route.is_here()), "")

    def diff(self) -> Change | None:
        """See `Step.diff`."""
        if any(route.is_here() for route in self._routes):
            return None
        return Change(self._routes[0].words, [f"or {route.words}" for route in self._routes[1:]])

    def apply(self, listener: Listener) -> None:
        """See `Step.apply`. Raises StepFailed with the words of every route, or the only one's own error."""
        refusals = []
        for route in self._routes:
            try:
                route.take(listener)
                return
            except ProvisionError as error:
                if len(self._routes) == 1:
                    raise
                listener(Note(self.name, f"{error.message}: {error.context}", "warn"))
                refusals.append(error)
        raise StepFailed(
            "no base image could be had",
            context="\n".join(f"{error.message}: {error.context}" for error in refusals),
            hint=next((error.hint for error in reversed(refusals) if error.hint), "")
            or "docker info   # its registry mirrors",
        )
