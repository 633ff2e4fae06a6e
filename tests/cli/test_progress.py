"""What is told of progress off a terminal: lines for people, JSON lines for programs."""

from __future__ import annotations

import json

import pytest

from provision.cli import progress
from provision.cli.errors import render_error
from provision.errors import ArrivalError
from provision.events import CheckDone, Event, Note, Progress, StepDone, StepStarted

GB = 1_000_000_000
EVENTS: list[Event] = [
    StepStarted("models"),
    Progress("org/model@main", 1 * GB, 10 * GB, detail="hf:https://hub"),
    Progress("org/model@main", 2 * GB, 10 * GB, detail="hf:https://hub"),
    Progress("config.json", 700, 700),
    Note("models", "a line of an installer", "detail"),
    Note("models", "hub broke the connection; asking again", "warn"),
    Progress("org/model@main", 10 * GB, 10 * GB),
    Progress("org/model@main", 10 * GB, 10 * GB),
    StepDone("models", True, 9.0),
    CheckDone("model.files", "pass", "all there", 0.1),
]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that a test may turn."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_lines_for_people_tell_speed_and_time_left(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    listen = progress.plain(verbose=False)
    for event in EVENTS:
        listen(event)
        clock[0] += 20.0 if isinstance(event, Progress) else 0.0
    assert capsys.readouterr().err.splitlines() == [
        "models …",
        "  org/model@main: 1.00 GB of 10.00 GB, hf:https://hub",
        "  org/model@main: 2.00 GB of 10.00 GB, 50.0 MB/s, 0:02:40 left, hf:https://hub",
        "  models: hub broke the connection; asking again",
        "  org/model@main: 10.00 GB of 10.00 GB, 200.0 MB/s",
        "models: done (9.0 s)",
    ]


def test_a_task_does_not_speak_twice_in_one_moment(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    listen = progress.plain(verbose=False)
    for done in range(1, 100):
        listen(Progress("org/model@main", done * GB, 100 * GB))
        clock[0] += 0.2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_json_lines_for_programs(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    listen = progress.json_lines()
    for event in EVENTS:
        listen(event)
        clock[0] += 2.0
    told = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [one["event"] for one in told] == [
        *("step-started", "progress", "progress", "progress", "note", "note", "progress", "step-done", "check-done")
    ]
    assert told[1] == {
        "event": "progress", "task": "org/model@main", "done": GB, "total": 10 * GB, "unit": "B", "detail": "hf:https://hub"
    }  # fmt: skip
    assert told[-1] == {
        "event": "check-done",
        "id": "model.files",
        "status": "pass",
        "summary": "all there",
        "seconds": 0.1,
    }


def test_what_strangers_name_their_files_never_reaches_the_terminal_raw(capsys: pytest.CaptureFixture[str]) -> None:
    progress.plain(verbose=False)(Note("\x1b]0;title\x07x.bin", "left out: \x1b[2J"))
    render_error(ArrivalError("only \x1b]0;title\x07x.bin", context="\x9b2J", hint="\r"))
    assert not any(char in capsys.readouterr().err for char in "\x1b\x07\x9b")
