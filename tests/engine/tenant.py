"""A plain user whom no machine has, known only to what is started as him, in namespaces that end with it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

TENANT = 4077  # his user id
# Its own users, ids, /var/tmp and tunnel device, laid over the machine's where only it sees them.
BEGIN = """
mount --bind "$0/var-tmp" /var/tmp
mkdir -p /etc/containers
for name in passwd subuid subgid; do cp "/etc/$name" "$0/$name" 2>/dev/null || true; done
echo "tenant:x:$1:$1::$0/home:/bin/sh" >>"$0/passwd"
for name in subuid subgid; do echo "tenant:200000:65536" >>"$0/$name"; done
for name in passwd subuid subgid; do touch "/etc/$name"; mount --bind "$0/$name" "/etc/$name"; done
mknod -m 666 "$0/tun" c 10 200 && mount --bind "$0/tun" /dev/net/tun
shift
exec "$@"
"""


def furnish(folder: Path, *, tenant: bool) -> None:
    """Make the folders of whoever it is to be, whose everything in `folder` is."""
    for name in ("home", "run", "var-tmp"):
        (folder / name).mkdir()
    subprocess.run(["chown", "-R", f"{TENANT}:{TENANT}" if tenant else "0:0", str(folder)], check=True)


def inside(folder: Path, argv: Sequence[str], *, tenant: bool, **environ: str) -> list[str]:
    """Return what runs `argv` as the tenant, or as root, whose home is in `folder`; killed, all that it began ends too."""
    own = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-ec", BEGIN, str(folder)]
    user = ["setpriv", f"--reuid={TENANT}", f"--regid={TENANT}", "--clear-groups"] if tenant else []
    given = {"PATH": os.environ["PATH"], "HOME": f"{folder}/home", "XDG_RUNTIME_DIR": f"{folder}/run", **environ}
    return [*own, str(TENANT), *user, "env", "--chdir=/", *(f"{name}={value}" for name, value in given.items()), *argv]
