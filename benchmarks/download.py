"""Side by side: our download engine, curl, aria2c, `hf download` and `modelscope download`, from one hub on loopback.

    python benchmarks/download.py [--size MIB] [--repeat N] [--only SCENARIO]… [--write]

Every contestant is its own process, the hub is one too. Ratios are to the contestant that the scenario names; seconds are
of this machine and hold less. `--write` puts the table into benchmarks/download.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve()
ROOT = HERE.parent.parent
BIN = Path(sys.executable).parent
REPO = "org/model"
COMMIT = "a" * 40
MIB = 1024 * 1024
OURS = """
import sys
from provision.download import FolderTarget, pull
from provision.sources.huggingface import HuggingFaceSource
from provision.sources.interface import ModelRef
pull(ModelRef(sys.argv[1]), [HuggingFaceSource(sys.argv[2])], FolderTarget(sys.argv[3]))
"""


@dataclass(frozen=True)
class Hub:
    """A running hub: its address and the files it serves, with their sha256."""

    url: str
    files: dict[str, tuple[int, str]]

    @property
    def total(self) -> int:
        return sum(size for size, _ in self.files.values())

    def sent(self) -> int:
        """Return the body bytes sent since the last look."""
        with urllib.request.urlopen(f"{self.url}/-/sent") as answer:
            return int(answer.read())


@dataclass
class Result:
    """What one contestant came to in one scenario. Seconds and MiB."""

    seconds: list[float] = field(default_factory=list)
    memory: float = 0.0
    again: float | None = None
    failed: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


Contestant = Callable[[Hub, Path], list[str]]


def curl(hub: Hub, folder: Path) -> list[str]:
    return ["curl", "-sf", "-o", str(folder / "model.safetensors"), f"{hub.url}/{REPO}/resolve/main/model.safetensors"]


def ours(hub: Hub, folder: Path) -> list[str]:
    return [sys.executable, "-c", OURS, REPO, hub.url, str(folder)]


def hf(hub: Hub, folder: Path) -> list[str]:
    return [str(BIN / "hf"), "download", REPO, "--local-dir", str(folder), "--quiet"]


def modelscope(hub: Hub, folder: Path) -> list[str]:
    return [str(BIN / "modelscope"), "download", "--model", REPO, "--local_dir", str(folder)]


def aria2(connections: int, *, checked: bool = False) -> Contestant:
    """Return aria2c with so many connections per file, with or without the sha256 verified."""

    def argv(hub: Hub, folder: Path) -> list[str]:
        listing = folder.parent / f"{folder.name}.list"
        lines = []
        for path, (_, digest) in hub.files.items():
            lines += [f"{hub.url}/{REPO}/resolve/main/{path}", f"  out={path}"]
            lines += [f"  checksum=sha-256={digest}"] if checked else []
        listing.write_text("\n".join(lines))
        split = [f"-x{connections}", f"-s{connections}", "-k1M", "-j8", "-c", "--auto-file-renaming=false"]
        return ["aria2c", "-q", *split, "--file-allocation=none", "-d", str(folder), "-i", str(listing)]

    return argv


BULK = {
    "curl": curl,
    "provision (sha256 verified)": ours,
    "aria2c -x1": aria2(1),
    "aria2c -x4": aria2(4),
    "aria2c -x4, verified": aria2(4, checked=True),
    "aria2c -x16": aria2(16),
    "hf download": hf,
    "modelscope download": modelscope,
}
THROTTLED = {
    "hf download": hf,
    "provision (sha256 verified)": ours,
    "aria2c -x8": aria2(8),
    "aria2c -x16": aria2(16),
    "modelscope download": modelscope,
}
SMALL = {"hf download": hf, "provision (sha256 verified)": ours, "aria2c -j8": aria2(1), "modelscope download": modelscope}


@dataclass(frozen=True)
class Scenario:
    """`rate` is bytes per second and connection, 0 for none; ratios are to `base`; `share` of the full size."""

    name: str
    contestants: dict[str, Contestant]
    base: str
    small: int = 0
    rate: int = 0
    kind: str = "cold"  # cold | warm | killed
    share: float = 1.0


SCENARIOS = [
    Scenario("unthrottled", BULK, "curl"),
    Scenario("throttled to 20 MB/s per connection", THROTTLED, "hf download", rate=20_000_000, share=0.5),
    Scenario("1,000 small files", SMALL, "hf download", small=1000),
    Scenario(
        "20 MB/s, killed with -9 at half, then again", THROTTLED, "hf download", rate=20_000_000, kind="killed", share=0.5
    ),
    Scenario("60 MB/s, killed with -9 at half, then again", THROTTLED, "hf download", rate=60_000_000, kind="killed"),
    Scenario("warm, one large file", THROTTLED, "hf download", kind="warm", share=0.5),
    Scenario("warm, 1,000 files", SMALL, "hf download", small=1000, kind="warm"),
]


def environment(hub: Hub, home: Path) -> dict[str, str]:
    """Return what the public clients need to meet our hub alone."""
    kept = {
        name: value for name, value in os.environ.items() if not re.match(r"(HF_|MODELSCOPE_|https?_proxy)", name, re.I)
    }
    return {
        **kept,
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "MODELSCOPE_ENDPOINT": hub.url,
        "MODELSCOPE_DOMAIN": hub.url.removeprefix("http://"),
        "MODELSCOPE_CACHE": str(home / "modelscope"),
    }


@contextmanager
def serving(root: Path, rate: int) -> Iterator[Hub]:
    """Serve a folder from a process of its own."""
    files = json.loads((root / "files.json").read_text())
    process = subprocess.Popen(
        [sys.executable, str(HERE), "--serve", str(root), "--rate", str(rate)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        yield Hub(
            f"http://127.0.0.1:{int(process.stdout.readline())}", {path: tuple(entry) for path, entry in files.items()}
        )
    finally:
        process.terminate()
        process.wait()


def make_files(root: Path, sizes: dict[str, int]) -> None:
    """Lay random files and their digests."""
    entries = {}
    for path, size in sizes.items():
        digest = hashlib.sha256()
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        with (root / path).open("wb") as handle:
            for start in range(0, size, MIB):
                block = os.urandom(min(MIB, size - start))
                digest.update(block)
                handle.write(block)
        entries[path] = (size, digest.hexdigest())
    (root / "files.json").write_text(json.dumps(entries))


def spawn(argv: Sequence[str], hub: Hub, home: Path) -> subprocess.Popen[bytes]:
    home.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        list(argv), env=environment(hub, home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def timed(argv: Sequence[str], hub: Hub, home: Path, result: Result) -> None:
    """Run to the end, and note seconds and peak memory."""
    began = time.perf_counter()
    process = spawn(argv, hub, home)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    result.seconds.append(time.perf_counter() - began)
    result.memory = max(result.memory, usage.ru_maxrss / 1024)
    if process.returncode:
        result.failed = f"exit {process.returncode}"


def right(hub: Hub, folder: Path) -> str:
    """Return what is wrong with the files in a folder, or an empty string."""
    for path, (size, _) in hub.files.items():
        if not (folder / path).is_file() or (folder / path).stat().st_size != size:
            return f"{path} is missing or short"
    return ""


def once(scenario: Scenario, contestant: Contestant, hub: Hub, scratch: Path, result: Result) -> None:
    folder, home = scratch / "to", scratch / "home"
    folder.mkdir(parents=True)
    argv = contestant(hub, folder)
    if scenario.kind == "warm":
        timed(argv, hub, home, Result())
    hub.sent()
    if scenario.kind == "killed":
        process = spawn(argv, hub, home)
        sent, deadline = 0, time.monotonic() + 120
        while sent < hub.total // 2 and time.monotonic() < deadline:
            time.sleep(0.02)
            sent += hub.sent()
        process.kill()
        process.wait()
        time.sleep(0.3)
        sent += hub.sent()
        timed(argv, hub, home, result)
        again = (sent + hub.sent() - hub.total) / hub.total
        result.again = max(result.again or 0.0, again)
    else:
        timed(argv, hub, home, result)
    result.failed = result.failed or right(hub, folder)


def run(scenario: Scenario, size: int, repeat: int, scratch: Path) -> dict[str, Result]:
    """Return every contestant's result, their turns interleaved so that the machine's moods strike all alike."""
    root = scratch / "served"
    root.mkdir()
    small = {f"part-{index:04}.json": 4096 for index in range(scenario.small)}
    make_files(root, small or {"model.safetensors": size})
    present = {
        name: one
        for name, one in scenario.contestants.items()
        if shutil.which(one(Hub("http://x", {}), scratch / "probe")[0])
    }
    results = {name: Result() for name in present}
    with serving(root, scenario.rate) as hub:
        for turn in range(repeat):
            for name, contestant in present.items():
                place = scratch / f"turn{turn}"
                os.sync()
                once(scenario, contestant, hub, place, results[name])
                shutil.rmtree(place, ignore_errors=True)
                print(f"  {name}: {results[name].seconds[-1]:.2f} s {results[name].failed}", flush=True)
    shutil.rmtree(root)
    return results


def table(scenario: Scenario, heading: str, results: dict[str, Result]) -> str:
    base = results[scenario.base].median
    killed = scenario.kind == "killed"
    rows = [
        f"| | time, {scenario.base} = 1 | seconds | peak memory, MiB |" + (" bytes sent again |" if killed else ""),
        "|---|---|---|---|" + ("---|" if killed else ""),
    ]
    for name, result in results.items():
        cells = [name, f"{result.median / base:.2f}", f"{result.median:.2f}", f"{result.memory:.0f}"]
        cells += [f"{100 * (result.again or 0):.1f} %"] if killed else []
        rows.append(f"| {' | '.join(cells)} |" + (f" failed: {result.failed}" if result.failed else ""))
    return f"### {heading}\n\n" + "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024, help="MiB of the large file")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", action="append", help="run the scenarios whose name contains this")
    parser.add_argument("--write", action="store_true", help="write benchmarks/download.md")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.rate)
        return
    tables = []
    for scenario in SCENARIOS:
        if options.only and not any(word in scenario.name for word in options.only):
            continue
        print(scenario.name, flush=True)
        with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as scratch:
            size = int(options.size * scenario.share)
            heading = scenario.name if scenario.small else f"{scenario.name}: {size} MiB"
            tables.append(table(scenario, heading, run(scenario, size * MIB, options.repeat, Path(scratch))))
        print(tables[-1], flush=True)
    if options.write:
        (HERE.parent / "download.md").write_text(page(tables, options.size, options.repeat))


def page(tables: Sequence[str], size: int, repeat: int) -> str:
    return (
        "# Downloads, side by side\n\n"
        f"Written by `python benchmarks/download.py --size {size} --repeat {repeat} --write`: medians of {repeat} "
        f"interleaved turns, a file of up to {size} MiB or 1,000 files of 4 KiB, hub on loopback in its own process, "
        f"{os.cpu_count()} cores, Python {platform.python_version()}. Ours hashes every byte and syncs each file to the "
        "disk before it gets its name; curl, aria2c (unless said), `hf` and `modelscope` do neither, or not both. "
        "The ratios are what holds elsewhere.\n\n" + "\n".join(tables)
    )


def serve(root: Path, rate: int) -> None:
    """Serve a folder in both hubs' protocols with sendfile, and say the port on stdout."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from urllib.parse import parse_qs, unquote, urlsplit

    files = json.loads((root / "files.json").read_text())
    sent = [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = 65536

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            path, query = unquote(parts.path), parse_qs(parts.query)
            if path == "/-/sent":
                count, sent[0] = sent[0], 0
                self.answer(str(count).encode())
            elif path.endswith("/repo/files"):
                self.modelscope_listing()
            elif path.endswith("/revisions"):
                branches = [{"Revision": "master", "CreatedAt": 1}]
                self.json({"Code": 200, "Success": True, "Data": {"RevisionMap": {"Branches": branches, "Tags": []}}})
            elif path.startswith("/api/v1/") and path.endswith("/repo"):
                self.body(query["FilePath"][0])
            elif path.startswith("/api/v1/"):
                self.json({"Code": 200, "Success": True, "Data": {"Path": "org", "Name": "model", "Id": 1}})
            elif "/tree/" in path:
                self.json([tree_entry(name, *entry) for name, entry in files.items()])
            elif path.startswith("/api/models/"):
                siblings = [{"rfilename": name} for name in files]
                self.json({"id": REPO, "modelId": REPO, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []})
            elif "/resolve/" in path:
                self.body(path.split("/resolve/")[1].partition("/")[2])
            else:
                self.send_error(404)

        def modelscope_listing(self) -> None:
            entries = [
                {"Path": name, "Name": name, "Type": "blob", "Size": size, "Sha256": digest, "Revision": COMMIT}
                for name, (size, digest) in files.items()
            ]
            data = {"Files": entries, "LatestCommitter": {"Id": COMMIT, "ShortId": COMMIT[:8]}}
            self.json({"Code": 200, "Success": True, "Data": data})

        def json(self, value: object) -> None:
            self.answer(json.dumps(value).encode(), "application/json")

        def answer(self, body: bytes, kind: str = "text/plain") -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def body(self, name: str) -> None:
            size, digest = files[name]
            start, stop, status = 0, size, 200
            if found := re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
                start, status = int(found[1]), 206
                stop = min(stop, int(found[2]) + 1) if found[2] else stop
            self.send_response(status)
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
            self.send_header("Content-Length", str(stop - start))
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", f'"{digest}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            self.wfile.flush()
            if rate:  # what waits in this buffer has been counted as sent, and never left
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MIB // 16)
            if self.command != "HEAD":
                self.pour(root / name, start, stop)

        def pour(self, path: Path, start: int, stop: int) -> None:
            began, first = time.monotonic(), start
            with path.open("rb") as handle:
                while start < stop:
                    step = min(stop - start, MIB if not rate else MIB // 8)
                    try:
                        count = os.sendfile(self.connection.fileno(), handle.fileno(), start, step)
                    except OSError:
                        self.close_connection = True
                        return
                    start += count
                    sent[0] += count
                    if rate:
                        time.sleep(max(0.0, (start - first) / rate - (time.monotonic() - began)))

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

        def handle_error(self, request: object, client_address: object) -> None:
            """A contestant that was killed is no event here."""

    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def tree_entry(path: str, size: int, digest: str) -> dict[str, object]:
    lfs = {"oid": digest, "size": size, "pointerSize": 134}
    return {"type": "file", "path": path, "size": size, "oid": "0" * 40, "lfs": lfs}


if __name__ == "__main__":
    main()
