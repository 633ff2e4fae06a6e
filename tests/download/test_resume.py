"""Real processes, killed with -9 at any instant; and what is on disk damaged in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from provision.download import FolderTarget, pull
from provision.download.parts import Part
from provision.errors import ArrivalError
from provision.sources.interface import ModelRef
from tests.download.faults import OPTIONS, REPO, WEIGHTS, source
from tests.fakes.faulty_hub import FaultyHub, Repo, sha256

BIG = 24_000_000
PROGRAM = """
import sys
from provision.download import FolderTarget, pull
from provision.sources.huggingface import HuggingFaceSource
from provision.sources.interface import ModelRef
def say(event):
    print(getattr(event, "text", ""), flush=True)
pulled = pull(ModelRef(sys.argv[1]), [HuggingFaceSource(sys.argv[2])], FolderTarget(sys.argv[3]), listener=say)
print("fetched", pulled.fetched)
"""


def start(hub: FaultyHub, folder: Path) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", PROGRAM, REPO, hub.url, str(folder)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def sent_at_least(hub: FaultyHub, count: int) -> None:
    deadline = time.monotonic() + 30
    while sum(hub.sent.values()) < count and time.monotonic() < deadline:
        time.sleep(0.01)


def big_hub(rate: float) -> FaultyHub:
    return FaultyHub({REPO: Repo({"config.json": b"{}", WEIGHTS: os.urandom(BIG)})}, rate=rate)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_kill_costs_at_most_one_percent(share: float, tmp_path: Path) -> None:
    with big_hub(rate=4e6) as hub:
        process = start(hub, tmp_path)
        sent_at_least(hub, int(share * BIG))
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert not (tmp_path / WEIGHTS).exists()
        time.sleep(0.1)
        hub.sent.clear()
        here = sum(span_of(line) for line in journal(tmp_path).read_text().splitlines())
        hub.rate = 0
        pulled = pull(ModelRef(REPO), [source(hub)], FolderTarget(tmp_path), options=OPTIONS)
        assert sha256((tmp_path / WEIGHTS).read_bytes()) == sha256(hub.repos[REPO].files[WEIGHTS])
        assert here > (share - 0.1) * BIG
        assert hub.sent[WEIGHTS] <= BIG - here + 0.01 * BIG
        weights = next(file for file in pulled.files if file.path == WEIGHTS)
        assert sum(weights.shares.values()) == BIG


def journal(folder: Path) -> Path:
    return next((folder / ".provision/partial").glob("*.journal"))


def span_of(line: str) -> int:
    import json

    entry = json.loads(line)
    return int(entry["end"]) - int(entry["start"])


def interrupted(hub: FaultyHub, folder: Path) -> None:
    hub.rate = 4e6
    process = start(hub, folder)
    sent_at_least(hub, BIG // 2)
    process.kill()
    process.wait()
    hub.rate = 0
    hub.sent.clear()


def test_a_byte_flipped_in_the_partial_file_is_found_and_mended(tmp_path: Path) -> None:
    with big_hub(rate=0) as hub:
        interrupted(hub, tmp_path)
        part = next((tmp_path / ".provision/partial").glob("*.part"))
        with part.open("r+b") as handle:
            handle.seek(1000)
            byte = handle.read(1)
            handle.seek(1000)
            handle.write(bytes([byte[0] ^ 1]))
        notes: list[str] = []
        pull(
            ModelRef(REPO),
            [source(hub)],
            FolderTarget(tmp_path),
            options=OPTIONS,
            listener=lambda event: notes.append(getattr(event, "text", "")),
        )
        assert (tmp_path / WEIGHTS).read_bytes() == hub.repos[REPO].files[WEIGHTS]
        assert any("bytes 0-1048576" in note for note in notes)


@pytest.mark.parametrize("damage", ["torn", "garbage", "gone", "beyond"])
def test_a_damaged_journal_costs_bytes_but_never_a_wrong_file(damage: str, tmp_path: Path) -> None:
    with big_hub(rate=0) as hub:
        interrupted(hub, tmp_path)
        path = journal(tmp_path)
        text = path.read_text()
        if damage == "torn":
            path.write_text(text[:-9])
        elif damage == "garbage":
            path.write_bytes(os.urandom(500))
        elif damage == "gone":
            path.unlink()
        else:
            path.write_text(text + '{"start": 0, "end": 99999999999, "source": "x"}\n')
        pull(ModelRef(REPO), [source(hub)], FolderTarget(tmp_path), options=OPTIONS)
        assert (tmp_path / WEIGHTS).read_bytes() == hub.repos[REPO].files[WEIGHTS]


def test_a_part_cut_short_is_filled_again(tmp_path: Path) -> None:
    with big_hub(rate=0) as hub:
        interrupted(hub, tmp_path)
        part = next((tmp_path / ".provision/partial").glob("*.part"))
        os.truncate(part, 1_000_000)
        pull(ModelRef(REPO), [source(hub)], FolderTarget(tmp_path), options=OPTIONS)
        assert (tmp_path / WEIGHTS).read_bytes() == hub.repos[REPO].files[WEIGHTS]


def test_two_at_once_fetch_every_byte_once(tmp_path: Path) -> None:
    with big_hub(rate=6e6) as hub:
        pair = [start(hub, tmp_path), start(hub, tmp_path)]
        words = [process.communicate(timeout=60)[0] for process in pair]
        assert [process.returncode for process in pair] == [0, 0]
        assert (tmp_path / WEIGHTS).read_bytes() == hub.repos[REPO].files[WEIGHTS]
        assert sum(int(word.split()[-1]) for word in words) <= 1.01 * BIG
        assert any("another process brings" in word for word in words)


def test_the_waiting_one_takes_over_when_the_other_is_killed(tmp_path: Path) -> None:
    with big_hub(rate=2e6) as hub:
        first = start(hub, tmp_path)
        sent_at_least(hub, BIG // 4)
        second = start(hub, tmp_path)
        assert second.stdout
        assert "another process" in second.stdout.readline()
        first.kill()
        first.wait()
        hub.rate = 0
        second.communicate(timeout=60)
        assert second.returncode == 0
        assert (tmp_path / WEIGHTS).read_bytes() == hub.repos[REPO].files[WEIGHTS]


def test_a_stopped_process_is_not_waited_for_and_finishes_when_it_goes_on(tmp_path: Path) -> None:
    with big_hub(rate=2e6) as hub:
        first = start(hub, tmp_path)
        sent_at_least(hub, BIG // 4)
        first.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(ArrivalError) as caught:
                pull(ModelRef(REPO), [source(hub)], FolderTarget(tmp_path), options=replace(OPTIONS, absent=0.7))
        finally:
            hub.rate = 0
            first.send_signal(signal.SIGCONT)
        assert (caught.value.name, caught.value.message.split(" brings")[0]) == ("holder-silent", f"process {first.pid}")
        assert f"kill -CONT {first.pid}" in caught.value.hint
        first.communicate(timeout=60)
        assert first.returncode == 0
        assert (tmp_path / WEIGHTS).read_bytes() == hub.repos[REPO].files[WEIGHTS]


def test_a_process_that_hashes_for_long_shows_that_it_is_at_work(tmp_path: Path) -> None:
    part = Part.open(tmp_path, "a" * 64, 10)
    assert part
    os.utime(part.path, (1, 1))
    part.beat()
    assert part.path.stat().st_mtime > 1
    part.hold_still()
    os.utime(part.path, (1, 1))
    part.beat()
    assert part.path.stat().st_mtime == 1
    part.close()
    part.beat()
