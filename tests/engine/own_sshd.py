"""A real sshd of a test's own, and a client that trusts it."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import REAL_ENVIRON
from tests.engine.own_engine import needed, served

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin")
SETTINGS = (
    "StrictHostKeyChecking accept-new\nIdentityFile {folder}/key\nUserKnownHostsFile {folder}/known\nIdentitiesOnly yes\n"
)


@contextmanager
def own_sshd(folder: Path, engine: str, address: str = "127.0.0.1", beside: Sequence[str] = ()) -> Iterator[dict[str, str]]:
    """Listen at `address` (`beside`: what a command is prefixed with to be where that is), and yield the variables by which
    the engine's socket there is found.
    """
    needed(SSHD, "openssh-server")
    for name in ("key", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "key.pub", folder / "authorized")
    (folder / "config").write_text(SETTINGS.format(folder=folder))
    client = folder / "bin" / "ssh"
    client.parent.mkdir()
    client.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/config "$@"\n')
    client.chmod(0o755)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    Path("/run/sshd").mkdir(exist_ok=True)
    given = [f"HostKey={folder}/host", f"AuthorizedKeysFile={folder}/authorized", "StrictModes=no", "PidFile=none"]
    given += [f"Port={port}", f"ListenAddress={address}", "UsePAM=no"]
    argv = [*beside, str(SSHD), "-D", "-e", "-f", "/dev/null", *(f"-o{each}" for each in given)]
    with served(argv, folder / "log"):
        time.sleep(0.5)
        host = f"ssh://{getpass.getuser()}@{address}:{port}{engine}"
        yield {"DOCKER_HOST": host, "PATH": f"{client.parent}:{REAL_ENVIRON['PATH']}"}
