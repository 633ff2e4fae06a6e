"""Our image beside the plain Dockerfile, on the same base, with the same versions: cold build, one package more, size.

    python benchmarks/image.py --out benchmarks/image.md [--cuda IMAGE REPORT.json]

Every build begins with nothing kept of a former one but the base, neither layers nor packages, and with nothing left to
be written to the disk; the plain one stands between two of ours. Beside the seconds stands the processors' time of the
builds (cgroup v1's account of every container, and the engine's own): it holds stiller on a busy machine than seconds do.
`--cuda` adds the layers of an image built before, and what the check suite said of it. Needs the engine on this machine,
and a docker client with BuildKit.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import secrets
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from provision import pins
from provision.machines.building import Order
from provision.machines.engine import Engine
from provision.plan import converge
from provision.site import Site, steps, survey
from provision.spec import load
from provision.steps.image import Image, Recipe

HERE = Path(__file__).parent
EXTRA = "einops"
OURS, PLAIN, AGAIN = "provision-bench/ours", "provision-bench/plain", "provision-bench/again"
CONTAINERS = Path("/sys/fs/cgroup/cpuacct/docker/cpuacct.usage")
DAEMON = Path("/var/run/docker.pid")
SECONDS_BETWEEN_LOOKS = 3
SMALL = 1_000_000  # bytes; a layer up to this size is not shown
# by place: BuildKit's own history names a layer after the next instruction where one stage stands on another
SYSTEM = "system's packages that the base lacks"  # none where the base was made by this version
STAGES = ("base", SYSTEM, "toolkit", "torch", "libraries")
LIMITS = {"cold build": 0.6, "one package more": 0.25, "size": 0.8}


@dataclass(frozen=True)
class Timed:
    """A build: seconds, the processor's seconds, the bytes that the engine's folder grew by at most, and the mark by which
    another finds its layers.
    """

    seconds: float
    cpu: float
    peak: int
    mark: str


@dataclass(frozen=True)
class Row:
    """A line of the page; `limit` names what is wanted of it, if anything."""

    name: str
    unit: str
    ours: float
    plain: float
    limit: str = ""

    def __str__(self) -> str:
        ratio, limit = self.ours / self.plain, LIMITS.get(self.limit)
        wanted = f"≤ {limit}{'' if ratio <= limit else ': **missed**'}" if limit else ""
        figures = f"{self.ours:.2f} {self.unit} | {self.plain:.2f} {self.unit} | {ratio:.2f}"
        return f"| {self.name} | {figures} | {wanted} |\n"


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cuda", nargs=2, metavar=("IMAGE", "REPORT"), help="an image built before, and its JSON report")
    given = parser.parse_args()
    site, engine, recipe = _ready(())
    ours = _timed(engine, _cold(recipe.order(OURS)))
    plain = _timed(engine, _plain(site, recipe, (), PLAIN))
    again = _timed(engine, _cold(recipe.order(AGAIN)))
    _, _, bigger = _ready((EXTRA,))
    added = _timed(engine, _cold(bigger.order(f"{OURS}-more"), like=ours.mark))
    plain_added = _timed(engine, _plain(site, recipe, (EXTRA,), f"{PLAIN}-more", like=plain.mark))
    rows = [
        Row("cold build", "s", ours.seconds, plain.seconds, "cold build"),
        Row("a second one, beside the same", "s", again.seconds, plain.seconds, "cold build"),
        Row("processors' time of the first", "s", ours.cpu, plain.cpu),
        Row("one package more", "s", added.seconds, plain_added.seconds, "one package more"),
        Row("size", "GB", _size(engine, AGAIN) / 1e9, _size(engine, PLAIN) / 1e9, "size"),
    ]
    peak = max(ours.peak, again.peak)
    page = "".join(_page(rows, peak, _differences(engine, OURS, AGAIN), engine, given.cuda))
    given.out.write_text(page, "utf-8")
    print(page)


def _ready(packages: tuple[str, ...]) -> tuple[Site, Engine, Recipe]:
    """The smoke profile with the engine, everything before the image brought about, and the image's recipe."""
    spec = load(profile="smoke", flags={"engine": "docker", "gpu": "none", "image.packages": packages})
    site = survey(spec, os.environ)
    todo = steps(site)
    converge([step for step in todo if step.name in ("base", "lock")], lambda event: None)
    [image] = [step for step in todo if isinstance(step, Image)]
    recipe = image._recipe()
    assert site.engine and recipe
    return site, site.engine, recipe


def _cold(order: Order, like: str = "") -> Order:
    """The same order with no layer and no package in any cache; `like`: with those of an earlier one."""
    mark = like or secrets.token_hex(4)
    dockerfile = order.context["Dockerfile"]
    assert isinstance(dockerfile, bytes)
    text = dockerfile.replace(b"id=provision-uv", f"id={mark}".encode())
    return replace(order, context={**order.context, "Dockerfile": text, "ca/README": mark.encode()})


def _plain(site: Site, recipe: Recipe, packages: tuple[str, ...], tag: str, like: str = "") -> Order:
    entry = recipe.pins
    listed = {layer: [f"{pin.name}=={pin.version}" for pin in entry.pins if pin.layer == layer] for layer in pins.LAYERS}
    torch = "\n".join([*listed["toolkit"], *listed["torch"]])
    context: dict[str, bytes | Path] = {
        "Dockerfile": (HERE / "Dockerfile.plain").read_bytes(),
        "torch.txt": f"{site.resolution.toolkit_requirement}\n{torch}\n".encode(),
        "requirements.txt": "\n".join([*listed["libraries"], *packages, ""]).encode(),
        **{name: content for name, content in recipe.context().items() if name.startswith(("ca/", "wheels/"))},
    }
    return _cold(Order(context, tag), like)


def _timed(engine: Engine, order: Order) -> Timed:
    def refuse(reason: str) -> None:
        raise SystemExit(f"the benchmark needs BuildKit: {reason}")

    folder, ended, sizes = engine.describe()[0]["DockerRootDir"], threading.Event(), [0]

    def watch() -> None:
        while not ended.wait(SECONDS_BETWEEN_LOOKS):
            told = subprocess.run(["du", "-sxB1", folder], capture_output=True, text=True, check=False).stdout
            sizes.append(int(told.split()[0]))

    sizes[0] = int(subprocess.run(["du", "-sxB1", folder], capture_output=True, text=True, check=False).stdout.split()[0])
    watcher = threading.Thread(target=watch)
    os.sync()
    began, before = time.monotonic(), _cpu()
    watcher.start()
    try:
        engine.build(order, lambda line: None, refuse)
        seconds, cpu = time.monotonic() - began, _cpu() - before
    finally:
        ended.set()
        watcher.join()
    mark = order.context["ca/README"]
    assert isinstance(mark, bytes)
    return Timed(seconds, cpu, max(sizes) - sizes[0], mark.decode())


def _cpu() -> float:
    """Seconds that containers and the engine have had of the processors so far."""
    ticks = Path(f"/proc/{DAEMON.read_text().strip()}/stat").read_text().rpartition(")")[2].split()[11:13]
    return int(CONTAINERS.read_text()) / 1e9 + sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def _size(engine: Engine, tag: str) -> float:
    return float((engine.image(tag) or {})["Size"])


def _differences(engine: Engine, one: str, two: str) -> list[str]:
    """Paths whose bytes, modes or owners differ between two builds, but this benchmark's own mark."""
    first, second = (dict(_files(engine, tag)) for tag in (one, two))
    paths = (path for path in first.keys() | second.keys() if first.get(path) != second.get(path))
    return sorted(path for path in paths if not path.endswith("/provision/README"))


def _files(engine: Engine, tag: str) -> Iterator[tuple[str, str]]:
    api = engine._client.api
    made = api.create_container(tag, command=["true"])["Id"]
    try:
        with tarfile.open(fileobj=_Stream(api.export(made)), mode="r|") as tar:
            for entry in tar:
                file = tar.extractfile(entry) if entry.isfile() else None
                digest = hashlib.sha256(file.read()).hexdigest() if file else entry.linkname
                yield entry.name, f"{entry.type!r} {entry.mode:o} {entry.uid} {digest}"
    finally:
        api.remove_container(made, force=True)


class _Stream(io.RawIOBase):
    """Chunks, read as a file."""

    def __init__(self, chunks: Any) -> None:
        self._chunks = iter(chunks)
        self._rest = bytearray()

    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < size and (chunk := next(self._chunks, b"")):
            self._rest += chunk
        taken = bytes(self._rest[:size])
        del self._rest[:size]
        return taken


def _page(rows: list[Row], peak: int, different: list[str], engine: Engine, cuda: list[str] | None) -> Iterator[str]:
    yield "# The image beside a plain Dockerfile\n\nWritten by `benchmarks/image.py`; one run each, so ratios say more "
    yield "than seconds. Same base and versions, only the base is cached. The plain one: `benchmarks/Dockerfile.plain`, "
    yield f"built by the same client. Load of {os.cpu_count()} processors at the end: {os.getloadavg()[0]:.1f}.\n\n"
    yield "| CPU variant with nvcc | ours | plain | ratio | wanted |\n|---|---|---|---|---|\n"
    yield from map(str, rows)
    yield f"\nFiles of a second cold build of the same lock that differ in more than their times: {len(different)}"
    yield f"{': ' if different else ''}{', '.join(different[:20])}.\n"
    yield f"\nWhile ours was built, the engine's folder grew by {peak / 1e9:.1f} GB at most (`peaks` in the matrix).\n"
    yield f"\n## Layers, CPU\n\n{_layers(engine, AGAIN)}"
    if cuda:
        image, report = cuda
        yield f"\n## Layers, CUDA with nvcc: {_size(engine, image) / 1e9:.2f} GB in all (wanted: ≤ 5.5)\n\n"
        yield _layers(engine, image)
        yield from _checks(json.loads(Path(report).read_text("utf-8")))


def _layers(engine: Engine, tag: str) -> str:
    sizes = [row["Size"] for row in reversed(engine._client.images.get(tag).history()) if row["Size"] > SMALL]
    stages = STAGES if len(sizes) == len(STAGES) else [stage for stage in STAGES if stage != SYSTEM]
    lines = [f"| {size / 1e6:.1f} MB | {stage} |\n" for size, stage in zip(sizes, stages, strict=True)]
    return "| size | layer |\n|---|---|\n" + "".join(lines)


def _checks(report: Mapping[str, Any]) -> Iterator[str]:
    yield f"\nThe check suite in it, without a GPU: **{report['verdict']}**, exit {report['exit_code']}, "
    yield f"{report['counts']}; torch {report['environment'].get('torch')}, CUDA {report['environment'].get('cuda')}.\n\n"
    for check in report["checks"]:
        if check["id"].startswith(("toolkit.", "torch.")) and check["status"] != "skip":
            yield f"- `{check['id']}` {check['status']}: {check['summary']}\n"


if __name__ == "__main__":
    main()
