"""Unpack packages of Debian's next release into a folder, without installing them: what the current one is too old for.

    python tools/next_release.py docker-compose .make/next

apt itself fetches and verifies them, from the mirror that this machine uses. Prints the programs that came.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

NEXT = {"bookworm": "trixie", "trixie": "forky"}


def main(*packages: str, folder: str) -> int:
    """Return 0 where they came."""
    mirror, suite = mirror_here()
    target = Path(folder).absolute()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        place.chmod(0o755)  # apt reads as a user of its own
        for name in ("state/lists/partial", "cache/archives/partial"):
            (place / name).mkdir(parents=True)
        keys = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
        (place / "list").write_text(f"deb {keys} {mirror} {NEXT[suite]} main\n")
        settings = [f"Dir::State={place}/state", f"Dir::Cache={place}/cache", f"Dir::Etc::sourcelist={place}/list"]
        options = [word for each in [*settings, "Dir::Etc::sourceparts=-"] for word in ("-o", each)]
        subprocess.run(["apt-get", *options, "-qq", "update"], check=True, stdout=sys.stderr)
        subprocess.run(["apt-get", *options, "-qq", "download", *packages], check=True, cwd=place, stdout=sys.stderr)
        target.mkdir(parents=True, exist_ok=True)
        for archive in place.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", str(archive), str(target)], check=True)
    for path in sorted(target.rglob("*")):
        if path.is_file() and path.stat().st_mode & 0o100:
            print(path)
    return 0


def mirror_here() -> tuple[str, str]:
    """Return this machine's Debian mirror and its release's name."""
    release = Path("/etc/os-release").read_text()
    suite = re.search(r"VERSION_CODENAME=(\w+)", release)
    lists = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    text = "\n".join(path.read_text() for path in lists if path.is_file())
    mirror = re.search(r"^(?:deb (?:\[.*?\] )?|URIs: )(https?://\S+/debian/?)(?:\s|$)", text, re.MULTILINE)
    if not suite or suite[1] not in NEXT or not mirror:
        raise SystemExit("this is for Debian, with a mirror in its sources")
    return mirror[1], suite[1]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:-1], folder=sys.argv[-1]))
