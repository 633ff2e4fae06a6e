"""A machine whose commands are confined: cut off from the network, or with mounts and processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from provision.machines.interface import OUTPUT_LIMIT, Completed, Machine

NETLESS = (["unshare", "--net", "--"], ["unshare", "--user", "--map-current-user", "--net", "--"])
APART = (["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"],)


class ConfinedMachine:
    """Another machine, each of its commands begun by `prefix`."""

    def __init__(self, machine: Machine, prefix: Sequence[str]) -> None:
        self._machine = machine
        self._prefix = list(prefix)
        self.name = machine.name

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float = 30.0,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """See `Machine.run`."""
        return self._machine.run([*self._prefix, *argv], stdin=stdin, timeout=timeout, env=env, on_line=on_line)

    def read(self, path: str, limit: int = OUTPUT_LIMIT) -> bytes | None:
        """See `Machine.read`."""
        return self._machine.read(path, limit)

    def write(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """See `Machine.write`."""
        self._machine.write(path, data, mode)

    def exists(self, path: str) -> bool:
        """See `Machine.exists`."""
        return self._machine.exists(path)


def without_network(machine: Machine) -> Machine:
    """Return the machine with its commands cut off, each in a network namespace that holds nothing but a dead loopback."""
    return _confined(machine, NETLESS)


def apart(machine: Machine) -> Machine:
    """Return the machine with commands whose mounts nobody else sees, and which leave neither mount nor process behind."""
    return _confined(machine, APART)


def _confined(machine: Machine, ways: Sequence[Sequence[str]]) -> Machine:
    """By the first way that it allows this user; else the machine itself."""
    for prefix in ways:
        if machine.run([*prefix, "true"], timeout=5).ok:
            return ConfinedMachine(machine, prefix)
    return machine
