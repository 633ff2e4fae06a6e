"""What every writer is given and gives back: a place, an address, and the files as the tool would have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import urlsplit

from provision.errors import StepFailed, UsageError
from provision.files import Edit, read_state
from provision.machines.interface import Machine
from provision.mirrors.veil import veil

Scope = Literal["user", "system"]
MARK = "set by provision: `provision mirrors undo` gives back what was here"
SECRET_MODE = 0o600  # of a file that holds an address with credentials


@dataclass(frozen=True)
class Place:
    """Whose settings: a user's under `home`, or the system's under `root`. `environ` is the environment tools run in."""

    scope: Scope
    home: Path
    environ: Mapping[str, str]
    root: Path = Path("/")

    @classmethod
    def of(cls, environ: Mapping[str, str], scope: Scope, root: Path = Path("/")) -> Place:
        """Return the place that the environment means. Raises UsageError where it names no home for the user's scope."""
        home = environ.get("HOME", "")
        if scope == "user" and not home:
            raise UsageError("there is no HOME, so no user's settings", hint="--scope system")
        return cls(scope, Path(home or "/"), environ, root)

    @property
    def config(self) -> Path:
        """The folder of the user's settings (XDG base directory specification)."""
        given = self.environ.get("XDG_CONFIG_HOME", "")
        return Path(given) if given.startswith("/") else self.home / ".config"

    @property
    def is_this_machine(self) -> bool:
        """Whether the tools of this machine read what is written here, without being told where."""
        return self.scope == "user" or self.root == Path("/")

    def file(self, user: str, system: str) -> Path:
        """Return the file of this scope: `user` under the user's settings folder, or `system` under the root."""
        return self.config / user if self.scope == "user" else self.root / system

    def edit(self, tool: str, path: Path, text: str | None, wanted: str, urls: Sequence[str]) -> Edit:
        """Return the edit of `path` from `text` (None: absent) to `wanted`; private where an address has credentials."""
        mode = SECRET_MODE if any(has_credentials(url) for url in urls) else None
        return Edit(path, None if text is None else encode(text), encode(wanted), tool, self.scope, mode)


@dataclass(frozen=True)
class Plan:
    """The files as they should be, and what a person should know besides."""

    edits: tuple[Edit, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verified:
    """What the real tool said to the new settings; `by` is empty where the tool is not here to be asked."""

    tool: str
    by: str
    words: str


class Writer(Protocol):
    """One tool's settings; each module of `provision.mirrors.writers` is one."""

    @property
    def TOOL(self) -> str: ...  # noqa: N802 - a module's constant

    @property
    def SCOPES(self) -> tuple[Scope, ...]: ...  # noqa: N802

    @property
    def OVERRIDES(self) -> tuple[str, ...]:  # noqa: N802
        """The variables of the environment that stand over these settings."""

    def current(self, machine: Machine, place: Place) -> str:
        """Return the address that somebody set for the tool, empty where it is left to its default. Sends nothing.

        Raises StepFailed where the tool is here and does not run.
        """

    def plan(self, place: Place, urls: Sequence[str]) -> Plan:
        """Return the edits. Raises UsageError for an address the tool cannot use, StepFailed for a file it cannot read."""

    def verify(self, machine: Machine, place: Place, urls: Sequence[str]) -> Verified:
        """Ask the real tool. Raises StepFailed where it reads something else."""


def read_text(path: Path) -> str | None:
    """Return the file's text, bytes that are no UTF-8 kept as they are; None for no file. Raises MachineError."""
    state = read_state(path)
    return None if state is None else state.data.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """Return the bytes of a text that `read_text` gave."""
    return text.encode("utf-8", "surrogateescape")


def has_credentials(text: str) -> bool:
    """Whether an address, or one of several with spaces between, carries a user or a password."""
    return any("@" in urlsplit(url if "://" in url else f"//{url}").netloc for url in text.split())


def single(tool: str, urls: Sequence[str], schemes: Sequence[str] = ("https", "http")) -> str:
    """Return the one address of a tool that takes one, without the slash at its end. Raises UsageError."""
    if len(urls) != 1:
        raise UsageError(f"{tool} asks one address, not {len(urls)}", hint="several would compete for one name")
    return checked(tool, urls[0], schemes)


def checked(tool: str, url: str, schemes: Sequence[str] = ("https", "http")) -> str:
    """Return the address without the slash at its end. Raises UsageError where it is none of `schemes`."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in schemes and parts.hostname and (parts.port or True)
    except ValueError:
        valid = False
    if not valid or any(letter.isspace() or not letter.isprintable() or letter in "\"'`\\<>" for letter in url):
        raise UsageError(
            f"{tool} cannot use {veil(url)!r} as an address", hint=f"expected {' or '.join(schemes)}://host/path"
        )
    return url.rstrip("/")


def unreadable(path: Path, what: str, words: str) -> StepFailed:
    """Return the error for a file that the tool itself could not read; it is left as it is."""
    return StepFailed(
        f"{path} is not valid {what}; it was left as it is",
        context=veil(words),
        hint="mend it first: the tool itself cannot read it either",
        reference="settings-unreadable",
    )


def not_in_force(tool: str, wanted: str, said: str, hint: str = "") -> StepFailed:
    """Return the error for a tool that does not read what was written for it."""
    message = f"{tool} does not take the new setting"
    return StepFailed(message, context=veil(f"wanted {wanted}\n{said}"), hint=hint, reference="setting-not-in-force")
