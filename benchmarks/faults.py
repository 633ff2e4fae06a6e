"""Write benchmarks/faults.md: every row of the fault table, alone and with a second source, with the usual timeouts.

    python -m benchmarks.faults

The rows are those of tests/download/faults.py, which the tests hold; the hub that fails is a real server on loopback.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.situations import SITUATIONS
from provision.download import Options
from provision.wire import Transport
from tests.download.faults import REPO, ROWS, SIZE, Row, Seen, content, good_hub, run, source

AT_ONCE = 12  # rows run together: most of their time is waiting


def alone(row: Row) -> tuple[Seen, str]:
    with tempfile.TemporaryDirectory() as folder, row.hub() as hub:
        seen = run(Path(folder), [source(hub, Transport())], [hub], Options())
        return seen, on_disk(Path(folder))


def with_second(row: Row) -> tuple[Seen, str]:
    with tempfile.TemporaryDirectory() as folder, row.hub() as hub, good_hub() as good:
        sources = [source(hub, Transport()), source(good, Transport())]
        seen = run(Path(folder), sources, [hub, good], Options())
        return seen, on_disk(Path(folder))


def situation(name: str, *, second: bool) -> tuple[Seen, str]:
    with SITUATIONS[name]() as scene, good_hub() as good:
        sources = [scene.source, *([source(good, Transport())] if second else [])]
        seen = run(scene.folder, sources, [scene.hub, good], Options())
        return seen, on_disk(scene.folder, scene.hub.repos[REPO].files)


def on_disk(folder: Path, moved: Mapping[str, bytes] | None = None) -> str:
    """Return whether the files under their final names are all there and right: of the first commit, or of a later one."""
    wanted = content()
    there = {path: (folder / path).read_bytes() for path in wanted if (folder / path).exists()}
    wrong = [path for path, data in there.items() if data not in (wanted[path], (moved or wanted)[path])]
    return f"WRONG: {wrong}" if wrong else ("all right" if there.keys() == wanted.keys() else f"{len(there)} of 3, right")


def cells(seen: Seen, disk: str) -> Sequence[str]:
    words = f"`{seen.reference}`: {seen.message}" if seen.reference else "; ".join(seen.notes[:2]) or "nothing"
    plain = re.sub(r":\d{5}\b", "", words.replace("|", "/").replace("127.0.0.1", "hub").replace("localhost", "cdn"))
    return plain, f"{seen.seconds:.1f}", f"{100 * seen.twice:.0f} %", disk


def main() -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        single, double = pool.map(alone, ROWS), pool.map(with_second, ROWS)
        rows = [(row.name, cells(*one), cells(*two)) for row, one, two in zip(ROWS, single, double, strict=True)]
    for name in SITUATIONS:  # one after the other: some patch this process, some count on its time
        rows.append((name, cells(*situation(name, second=False)), cells(*situation(name, second=True))))
    lines = [
        "# What the user sees when a hub fails",
        "",
        f"Written by `python -m benchmarks.faults`: a model of {SIZE / 1e6:g} MB, a real hub on loopback that fails as",
        "told, the timeouts that users have; the last rows are what befalls a pull on its own machine and between runs.",
        "Twice: bytes that were sent more than once, the unread rest of a broken connection's buffers included, which",
        "weighs much in so small a model. Disk: the files under their final names. A second source is another hub with",
        "the same bytes.",
        "",
        "| fault | alone: the user saw | s | twice | disk | with a second source | s | twice | disk |",
        "|---|---|---|---|---|---|---|---|---|",
        *(f"| {' | '.join([name, *one, *two])} |" for name, one, two in rows),
        "",
    ]
    (Path(__file__).parent / "faults.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
