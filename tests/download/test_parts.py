from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.download.parts import Part, Spans

RUNS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=15)


@given(RUNS)
def test_spans_are_a_set_of_bytes(runs: list[tuple[int, int]]) -> None:
    spans, truth = Spans(), set[int]()
    for start, length in runs:
        spans.add(start, start + length)
        truth |= set(range(start, start + length))
    gaps = {byte for start, end in spans.gaps(100) for byte in range(start, end)}
    assert gaps == set(range(100)) - truth
    assert spans.total == len(truth)
    assert spans.frontier == next(byte for byte in range(101) if byte not in truth)


def opened(folder: Path, size: int = 1000) -> Part:
    part = Part.open(folder, "key", size)
    assert part
    return part


def bring(part: Part, want: int, data: bytes, source: str) -> None:
    claim = part.claim(want)
    assert claim
    claim.source = source
    part.write(claim, memoryview(data))
    part.release(claim)


def test_a_claim_is_nobody_elses(tmp_path: Path) -> None:
    part = opened(tmp_path)
    one, two, three = part.claim(400), part.claim(400), part.claim(400)
    assert one and two and three
    assert [(claim.start, claim.end) for claim in (one, two, three)] == [(0, 400), (400, 800), (800, 1000)]
    assert part.claim(1) is None
    part.release(two)
    again = part.claim(999)
    assert again and (again.start, again.end) == (400, 800)


def test_what_was_written_is_known_to_the_next_process(tmp_path: Path) -> None:
    part = opened(tmp_path)
    bring(part, 300, b"a" * 300, "hf:one")
    bring(part, 700, b"b" * 200, "hf:two")
    part.close()
    part = opened(tmp_path)
    assert (part.here, part.frontier, part.shares()) == (500, 500, {"hf:one": 300, "hf:two": 200})
    claim = part.claim(9999)
    assert claim and (claim.start, claim.end) == (500, 1000)


def test_a_part_has_one_holder(tmp_path: Path) -> None:
    part = opened(tmp_path)
    assert Part.open(tmp_path, "key", 1000) is None
    part.close()
    assert Part.open(tmp_path, "key", 1000)


def test_a_part_closed_under_a_claim_lets_go_only_after_it(tmp_path: Path) -> None:
    part = opened(tmp_path)
    claim = part.claim(10)
    assert claim
    part.close()
    assert Part.open(tmp_path, "key", 1000) is None
    assert part.write(claim, memoryview(b"x" * 10)) == 10
    part.release(claim)
    again = Part.open(tmp_path, "key", 1000)
    assert again and again.here == 10


def test_bytes_of_a_liar_are_taken_back(tmp_path: Path) -> None:
    part = opened(tmp_path)
    bring(part, 300, b"a" * 300, "good")
    flying = part.claim(100)
    assert flying
    flying.source = "liar"
    part.write(flying, memoryview(b"z" * 50))
    bring(part, 100, b"z" * 100, "liar")
    assert part.forget("liar") == 150
    assert part.write(flying, memoryview(b"z")) == 0
    part.release(flying)
    assert (part.here, part.frontier, part.epoch) == (300, 300, 1)
    part.close()
    assert opened(tmp_path).shares() == {"good": 300}


def test_more_than_the_claim_is_not_written(tmp_path: Path) -> None:
    part = opened(tmp_path)
    claim = part.claim(10)
    assert claim
    assert part.write(claim, memoryview(b"x" * 50)) == 10
    assert part.here == 10


def test_the_latter_half_of_the_slowest_is_taken(tmp_path: Path) -> None:
    part = opened(tmp_path)
    slow = part.claim(1000)
    assert slow
    slow.since -= 10
    part.write(slow, memoryview(b"x" * 100))
    half = part.halve(100, 0.5)
    assert half
    assert (slow.end, half.start, half.end) == (550, 550, 1000)
    assert part.halve(300, 0.5) is None


@given(st.integers(0, 2**20))
def test_a_journal_of_another_size_never_speaks_beyond_the_file(end: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "key.part").write_bytes(b"x" * 500)
        line = json.dumps({"start": 0, "end": end, "source": "s"})
        (Path(folder) / "key.journal").write_text(line + "\n")
        part = opened(Path(folder))
        assert part.here == min(end, 500)
        part.close()


def test_a_torn_line_loses_itself_alone(tmp_path: Path) -> None:
    part = opened(tmp_path)
    claim = part.claim(100)
    assert claim
    part.write(claim, memoryview(b"x" * 100))
    part.release(claim)
    part.close()
    journal = part.path.with_suffix(".journal")
    journal.write_bytes(journal.read_bytes() + b'{"start": 100, "en')
    again = opened(tmp_path)
    claim = again.claim(100)
    assert claim and claim.start == 100
    again.write(claim, memoryview(b"y" * 100))
    again.release(claim)
    again.close()
    assert opened(tmp_path).here == 200


def test_a_disk_too_full_for_all_bytes_is_an_error_and_no_hole(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk], check=False).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        part = Part.open(disk, "a" * 64, 500_000)
        assert part
        with pytest.raises(OSError, match="No space left"):
            part.overwrite(memoryview(b"x" * 500_000), 0)
        part.close()
    finally:
        subprocess.run(["umount", "-l", disk], check=False)
