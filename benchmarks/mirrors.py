"""What `provision mirrors measure` says of mirrors in every mood, all on loopback.

    .venv/bin/python benchmarks/mirrors.py [--write]

`--write` puts the table into benchmarks/mirrors.md. For comparison chsrc, which people pick for this, times one fixed
large file of each site (from its own description; it was not run here): that says nothing of the stale, lying and short
ones below, which send bytes quickly.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from provision.cli.measuring import table
from provision.mirrors.catalogue import Mirror
from provision.mirrors.measuring import Candidate, Measurement, Needs, measure
from provision.sources.interface import ModelRef
from tests.fakes.mirror_server import MOODS, MirrorServer, dead, self_signed
from tests.fakes.token_registry import PROGRAM, token_registry

HERE = Path(__file__).parent
KINDS = {"pip": "index", "huggingface": "endpoint", "docker": "root"}
PAGE = """# Mirrors in every mood, measured

Written by `.venv/bin/python benchmarks/mirrors.py --write`: real servers on loopback, each asked for its listing as the
real client asks and then for the file (a wheel of 6 MB, a model's shard, an image's layer; at most 8 MiB or 4 s of it).
The registry is Debian's docker-registry, and wants a token from another host. The figures are of loopback, and of one run
on two shared cores: the verdicts are the point. In place of addresses stand the mirrors' names.

```
{table}
```

From a machine that can reach no public mirror, `provision mirrors measure` says `host-unknown` for each row of the
catalogue and keeps what the machine is set to: the public mirrors themselves were never measured by us.
"""
FILLING = 6_000_000  # bytes of the wheel


def main() -> int:
    """Start the mirrors, measure them all at once, and print or write the table."""
    lines = measured()
    print("\n".join(lines))
    if "--write" in sys.argv[1:]:
        (HERE / "mirrors.md").write_text(PAGE.format(table="\n".join(lines)))
    return 0


def measured() -> list[str]:
    """Return the table's lines, with names in place of ports."""
    with ExitStack() as stack:
        servers = {mood: stack.enter_context(MirrorServer(mood=mood, filling=FILLING)) for mood in MOODS}
        target = servers["well"].address
        servers["redirects"] = stack.enter_context(MirrorServer(redirect=target, filling=FILLING))
        servers["self-signed"] = stack.enter_context(MirrorServer(tls=self_signed()))
        servers["no-type"] = stack.enter_context(MirrorServer(tells_type=False, filling=FILLING))
        hubs = {
            "hub": stack.enter_context(MirrorServer()),
            "hub-308": stack.enter_context(MirrorServer(redirect=target, redirect_status=308, tells_commit=False)),
        }
        gone = stack.enter_context(dead())
        names = {server.address: name for name, server in {**servers, **hubs}.items()} | {gone: "dead"}
        candidates = [_candidate("pip", f"{address}/simple") for address in (*[s.address for s in servers.values()], gone)]
        candidates += [_candidate("huggingface", server.address) for server in hubs.values()]
        if PROGRAM:
            real = stack.enter_context(token_registry(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
            real.put("library/tiny", "1")
            candidates.append(_candidate("docker", f"http://{real.host}"))
            names[f"http://{real.host}"] = "registry"
        needs = Needs(model=ModelRef("org/name"), image="library/tiny", image_tag="1")
        began = time.monotonic()
        rows = measure(candidates, needs, {})
        seconds = time.monotonic() - began
    return [*table([_named(row, names) for row in rows]), f"{len(rows)} mirrors in {seconds:.1f} s"]


def _candidate(tool: str, url: str) -> Candidate:
    return Candidate(Mirror(tool, url, KINDS[tool], "any", "", "", ""))


def _named(row: Measurement, names: Mapping[str, str]) -> Measurement:
    def named(text: str) -> str:
        for address, name in names.items():
            text = text.replace(address.partition("//")[2], name)
        return text

    return replace(row, url=named(row.url), reason=named(row.reason), way=tuple(map(named, row.way)))


if __name__ == "__main__":
    sys.exit(main())
