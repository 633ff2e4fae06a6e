"""A local Python environment: one of our own, or an adopted one that only gets what it lacks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources

from provision.errors import BuildFailed, StepFailed
from provision.events import Listener, Note
from provision.machines.interface import Completed, Machine
from provision.mirrors.interface import SECRET_MODE
from provision.pins import LAYERS, Pins
from provision.steps.interface import Change

STAMP = "provision-environment.json"  # written last: an environment without it is half built
REQUIREMENTS = "provision-requirements.txt"  # what was installed: each package by version and hashes
INSTALL_TIMEOUT = 3600.0  # seconds for one install; several GB on a slow line
LAST_LINES = 15
INSTALLED = """
import importlib.metadata as m, json, os, re, sys, sysconfig
try:
    torch = m.distribution("torch")
    torch_by = (torch.read_text("INSTALLER") or "").strip()
    with open(torch.locate_file("torch/version.py")) as file:
        built_for = re.findall(r"^(?:cuda|hip|xpu)\\b[^=]*= *(.*)$", file.read(), re.MULTILINE)
except m.PackageNotFoundError:
    torch_by, built_for = "", []
except OSError:
    built_for = []
marker = os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
print(json.dumps({
    "packages": {d.metadata["Name"].lower().replace("_", "-"): d.version for d in m.distributions()},
    "torch_by": torch_by,
    "names_no_gpu": bool(built_for) and set(built_for) == {"None"},
    "managed": sys.prefix == sys.base_prefix and os.path.exists(marker),
    "folder": sysconfig.get_path("purelib"),
    "writable": os.access(sysconfig.get_path("purelib"), os.W_OK),
}))
"""


@dataclass(frozen=True)
class Installed:
    """What is in somebody's own python. `torch_by` is the tool that brought torch, `names_no_gpu` what torch's own
    `version.py` says; `managed`: the system's alone (PEP 668); `folder` is where packages go, `writable` whether this user
    may put any there.
    """

    packages: Mapping[str, str]
    torch_by: str = ""
    names_no_gpu: bool = False
    managed: bool = False
    folder: str = ""
    writable: bool = True

    @property
    def for_cpu(self) -> bool:
        """Whether torch is a CPU build: a wheel says it in its version, conda's nowhere but in its files."""
        return self.packages["torch"].endswith("+cpu") or (self.torch_by == "conda" and self.names_no_gpu)


@dataclass(frozen=True)
class Installer:
    """How packages are fetched: by `uv` (its path), where from, with whose certificates (`trust`)."""

    uv: str
    index: str | None = None
    extra_indexes: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    trust: Mapping[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """What its commands are run with: addresses go this way, for a command line is anybody's to read."""
        places = {"UV_DEFAULT_INDEX": self.index or "", "UV_INDEX": " ".join(self.extra_indexes)}
        places["UV_FIND_LINKS"] = ",".join(self.find_links)
        return {**self.trust, **{name: value for name, value in places.items() if value}}

    def create(self, python: str, folder: str) -> list[str]:
        """Return the command that makes an empty environment, in the place of any former one."""
        return [self.uv, "venv", "--clear", "--python", python, folder]

    def add(self, python: str, requirements: Sequence[str]) -> list[str]:
        """Return the command that installs `requirements`, and what they need, beside `python`."""
        return [self.uv, "pip", "install", "--python", python, "--compile-bytecode", *requirements]

    def install(self, python: str, pinned: str) -> list[str]:
        """Return the command that installs exactly the requirements file `pinned`, each file held to its hashes."""
        command = [self.uv, "pip", "install", "--python", python, "--compile-bytecode"]
        return [*command, "--no-deps", "--require-hashes", "-r", pinned]

    def compile(self, python_version: str, platform: str, wanted: str, listing: str) -> list[str]:
        """Return the command that resolves the file `wanted` to `listing`, whose former versions are preferred."""
        command = [self.uv, "pip", "compile", "--no-header", "--generate-hashes", "--annotation-style=line", "-q"]
        command += [f"--python-version={python_version}", f"--python-platform={platform}"]
        return [*command, f"--output-file={listing}", wanted]


class LocalEnvironment:
    """An environment of our own in `folder`, built with `base_python` from what the lock pins.

    `pinned` returns that, or None where it is not pinned yet.
    """

    name = "environment"

    def __init__(
        self,
        machine: Machine,
        folder: str,
        base_python: str,
        pinned: Callable[[], Pins | None],
        installer: Installer,
        pip_settings: str = "",
    ) -> None:
        self._machine = machine
        self._folder = folder
        self._base_python = base_python
        self._pinned = pinned
        self._installer = installer
        self._pip_settings = pip_settings

    @property
    def python(self) -> str:
        """The environment's interpreter, there or not yet."""
        return f"{self._folder}/bin/python"

    def diff(self) -> Change | None:
        """See `Step.diff`."""
        pinned = self._pinned()
        stamp = self._machine.read(f"{self._folder}/{STAMP}")
        if pinned and stamp and _fingerprint(stamp) == self._wanted(pinned) and self._machine.exists(self.python):
            return None
        why = "build" if stamp is None else "rebuild: what is wanted has changed"
        details = [f"torch {pinned.version('torch')} and {len(pinned.pins) - 1} more, as pinned"] if pinned else []
        return Change(f"{why} {self._folder} with {self._base_python}", details)

    def apply(self, listener: Listener) -> None:
        """See `Step.apply`. An interrupted build has no stamp, and is begun anew; downloaded packages stay cached."""
        pinned = self._pinned()
        if pinned is None:
            raise StepFailed("nothing is pinned yet for this environment", hint="provision up")
        self._do(self._installer.create(self._base_python, self._folder), listener)
        requirements = f"{self._folder}/{REQUIREMENTS}"
        self._machine.write(requirements, pinned.requirements(LAYERS[1:]).encode())
        self._do(self._installer.install(self.python, requirements), listener)
        if self._pip_settings:
            self._machine.write(f"{self._folder}/pip.conf", self._pip_settings.encode(), SECRET_MODE)
        stamp = {"fingerprint": self._wanted(pinned), "torch": pinned.torch, "lock": pinned.digest}
        self._machine.write(f"{self._folder}/{STAMP}", json.dumps(stamp, indent=1).encode())

    def _wanted(self, pinned: Pins) -> str:
        parts = [self._base_python, self._pip_settings, pinned.requirements(LAYERS[1:])]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _do(self, command: Sequence[str], listener: Listener) -> None:
        run(self._machine, command, listener, self.name, self._installer.env)


class AdoptedEnvironment:
    """Somebody's own python: missing libraries are added, and torch is touched only where it is a CPU build and
    `cuda_torch` (a requirement, or empty) is what the machine's GPUs need instead.
    """

    name = "environment"

    def __init__(
        self, machine: Machine, python: str, libraries: Sequence[str], installer: Installer, cuda_torch: str = ""
    ) -> None:
        self._machine = machine
        self.python = python
        self._libraries = tuple(libraries)
        self._installer = installer
        self._cuda_torch = cuda_torch

    def diff(self) -> Change | None:
        """See `Step.diff`. Raises StepFailed where there is no such python, no torch in it, or it may not be changed."""
        installed = self._installed()
        missing = self._missing(installed)
        torch = installed.packages["torch"]
        replaced = self._replaces(installed)
        words = [f"replace torch {torch} by {self._cuda_torch}"] if replaced else []
        words += [f"add {', '.join(missing)}"] if missing else []
        if not words:
            return None
        self._make_sure_it_may(installed, "; ".join(words), replaced=replaced)
        fate = "it is built for the CPU alone, and there is a GPU here" if replaced else "torch stays as it is"
        return Change(f"in {self.python}: {'; '.join(words)}", [fate])

    def apply(self, listener: Listener) -> None:
        """See `Step.apply`."""
        installed = self._installed()
        torch = installed.packages["torch"]
        wanted = self._cuda_torch if self._replaces(installed) else f"torch=={torch}"
        command = self._installer.add(self.python, [*self._missing(installed), wanted])
        run(self._machine, command, listener, self.name, self._installer.env)

    def _make_sure_it_may(self, installed: Installed, words: str, *, replaced: bool) -> None:
        """Before anything is asked or done: what an installer would refuse, or break, half-way."""
        hint = "leave --python out, and an environment is made"
        if installed.managed:
            why = "belongs to the system's own package manager, which forbids others to change it (PEP 668)"
        elif not installed.writable:
            why = f"is not this user's to change: {installed.folder} may not be written"
        elif replaced and installed.torch_by == "conda":
            why = "has its torch from conda, which alone can replace it whole"
            hint = f"conda install --prefix {self.python.rpartition('/bin/')[0]} pytorch-gpu"
        else:
            return
        raise StepFailed(
            f"{self.python} {why}", context=f"it would have to: {words}", hint=hint, reference="python-not-ours"
        )

    def _replaces(self, installed: Installed) -> bool:
        return bool(self._cuda_torch) and installed.for_cpu

    def _missing(self, installed: Installed) -> list[str]:
        return [wanted for wanted in self._libraries if distribution(wanted) not in installed.packages]

    def _installed(self) -> Installed:
        done = self._machine.run([self.python, "-c", INSTALLED])
        if not done.ok:
            raise StepFailed(f"{self.python} cannot be used", context=_last(done), hint="give another: --python PATH")
        found = Installed(**json.loads(done.text))
        if "torch" not in found.packages:
            hint = "leave --python out, and an environment is made; or install torch into this one"
            raise StepFailed(f"there is no torch in {self.python} to adopt", hint=hint)
        return found


def libraries() -> tuple[str, ...]:
    """Return the requirement set that every environment holds beside torch."""
    text = (resources.files("images") / "requirements.txt").read_text("utf-8")
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))


def distribution(requirement: str) -> str:
    """Return the normalised name of the distribution that a requirement asks for."""
    name = requirement
    for sign in "[<>=!~; ":
        name = name.split(sign, 1)[0]
    return name.lower().replace("_", "-")


def run(machine: Machine, command: Sequence[str], listener: Listener, task: str, env: Mapping[str, str]) -> None:
    """Run an installer, telling each of its lines. Raises BuildFailed with its last ones and what is likely behind them."""

    def say(line: str) -> None:
        listener(Note(task, line, "detail"))

    done = machine.run(command, timeout=INSTALL_TIMEOUT, env=env, on_line=say)
    if not done.ok:
        words = _last(done)
        raise BuildFailed(
            f"{' '.join(command[:3])} … failed ({done.returncode if done.returncode is not None else done.outcome.value})",
            context=words,
            hint=why(words),
        )


def why(words: str) -> str:
    """Return what to do about an installer's last words."""
    if "ensurepip" in words or "python3-venv" in words:
        return "this python lacks venv: apt-get install python3-venv"
    if any(
        sign in words for sign in ("dns error", "Name or service", "Temporary failure", "Connection refused", "timed out")
    ):
        return "no network, or the index is cut off: set mirrors.pip or mirrors.apt, see `provision mirrors list`"
    if any(sign in words for sign in ("UnknownIssuer", "CERTIFICATE_VERIFY_FAILED", "invalid peer certificate")):
        return "TLS behind a private CA: export SSL_CERT_FILE=/path/to/ca-bundle.crt"
    if "NO_PUBKEY" in words:
        return "this machine has not the archive's keys: apt-get install ubuntu-keyring, or debian-archive-keyring"
    if "hash mismatch" in words.lower():
        return "the index has other bytes than the lock pins: use another mirror, or delete the lock's entry to pin anew"
    if "no space left" in words.lower():
        return "the disk is full: free some and run the same command again"
    if "no version of torch" in words or "No matching distribution found for torch" in words:
        return "no index here holds this torch: see `provision image resolve`, or set mirrors.torch to one that does"
    return "the lines above are the installer's own; the same command goes on where it stopped"


def _last(done: Completed) -> str:
    return "\n".join((done.error_text or done.text).strip().splitlines()[-LAST_LINES:])


def _fingerprint(stamp: bytes) -> str | None:
    try:
        return str(json.loads(stamp)["fingerprint"])
    except (ValueError, KeyError, TypeError):
        return None
