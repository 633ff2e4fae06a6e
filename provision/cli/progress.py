"""Progress, on stderr: a live view on a terminal, plain lines elsewhere, JSON lines for programs."""

from __future__ import annotations

import json
import re
import sys
import time
from dataclasses import asdict
from datetime import timedelta

from provision.events import CheckDone, Event, Listener, Note, Progress, StepDone, StepStarted
from provision.facts.plain import mask
from provision.formats.text import neutral, one_line

PLAIN_EVERY = 10.0  # seconds between plain lines about one task
JSON_EVERY = 1.0  # the same for programs
FIGURES = 44  # columns of a bar and its figures
SMALL = 4 * 1024 * 1024  # bytes; what is smaller arrives before a line about it could be read
Said = Note | StepStarted | StepDone | CheckDone
MARKS = {"pass": "✓", "warn": "!", "fail": "✗", "skip": "-", "unknown": "?", "hung": "…", "blocked": "·"}


def plain(verbose: bool) -> Listener:
    """Return a listener that writes lines; the same task speaks at most every PLAIN_EVERY seconds, and at its end."""
    paces: dict[str, _Pace] = {}

    def listen(event: Event) -> None:
        if isinstance(event, Progress):
            pace = paces.setdefault(event.task, _Pace(PLAIN_EVERY))
            text = _progress_line(event, pace) if not 0 < event.total < SMALL and pace.is_due(event) else ""
        else:
            text = _line(event, verbose)
        if text:
            print(neutral(text), file=sys.stderr, flush=True)  # noqa: T201

    return listen


def json_lines() -> Listener:
    """Return a listener that writes each event as one JSON object: its fields, and `event` with its kind."""
    paces: dict[str, _Pace] = {}

    def listen(event: Event) -> None:
        if isinstance(event, Progress) and not paces.setdefault(event.task, _Pace(JSON_EVERY)).is_due(event):
            return
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(event).__name__).lower()
        print(json.dumps({"event": kind, **asdict(event)}, ensure_ascii=False), file=sys.stderr, flush=True)  # noqa: T201

    return listen


class _Pace:
    """When one task spoke last, and how fast it went since. `every` in seconds."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._spoken: float | None = None
        self._done = 0
        self._ended = False
        self.speed = 0.0  # per second, 0 where not known yet

    def is_due(self, event: Progress) -> bool:
        now = time.monotonic()
        ended = bool(event.total) and event.done >= event.total
        if (ended and self._ended) or (not ended and self._spoken is not None and now - self._spoken < self._every):
            return False
        if self._spoken is not None and now > self._spoken:
            self.speed = max(0.0, (event.done - self._done) / (now - self._spoken))
        self._spoken, self._done, self._ended = now, event.done, ended
        return True


def _progress_line(event: Progress, pace: _Pace) -> str:
    said = [_amount(event.done, event.unit) + (f" of {_amount(event.total, event.unit)}" if event.total else "")]
    said += [f"{_amount(int(pace.speed), event.unit)}/s"] if pace.speed else []
    left = (event.total - event.done) / pace.speed if pace.speed else 0.0
    said += [f"{timedelta(seconds=round(left))} left"] if left > 0 else []
    said += [event.detail] if event.detail else []
    return f"  {event.task}: {', '.join(said)}"


def _line(event: Said, verbose: bool) -> str:
    if isinstance(event, Note):
        return f"  {event.task}: {mask(event.text)}" if verbose or event.level != "detail" else ""
    if isinstance(event, StepStarted):
        return f"{event.name} …"
    if isinstance(event, StepDone):
        return f"{event.name}: {'done' if event.changed else 'as wanted, nothing to change'} ({event.seconds:.1f} s)"
    return f"  {MARKS[event.status]} {event.id}: {event.summary}" if verbose else ""


def _amount(count: int, unit: str) -> str:
    if unit != "B":
        return f"{count} {unit}"
    size = float(count)
    for name in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {name}" if name == "B" else f"{size:.1f} {name}"
        size /= 1000
    return f"{size:.2f} GB"


def live(verbose: bool) -> Listener:
    """Return a listener that redraws: a bar a task, the current line of an installer below its step."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars
    from rich.table import Column

    console = Console(stderr=True, highlight=False)
    whole = Column(no_wrap=True)
    bars = Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=8),
        DownloadColumn(table_column=whole),
        TransferSpeedColumn(table_column=whole),
        TimeRemainingColumn(compact=True, table_column=whole),
        TextColumn("{task.fields[detail]}", markup=False),
        console=console,
        transient=True,
    )
    return _Live(console, bars, verbose)


class _Live:
    """Bars while bytes come, a status line while something builds, and one finished line for each step."""

    def __init__(self, console: object, bars: object, verbose: bool) -> None:
        from rich.console import Console
        from rich.progress import Progress as Bars
        from rich.progress import TaskID

        assert isinstance(console, Console) and isinstance(bars, Bars)
        self._console, self._bars, self._verbose = console, bars, verbose
        self._tasks: dict[str, TaskID] = {}
        self._status = console.status("")

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress):
            self._bar(event)
        elif isinstance(event, Note) and event.level == "detail" and not self._verbose:
            self._status.update(f"[bold]{event.task}[/] {_escaped(one_line(mask(event.text)))[: self._console.width - 20]}")
        elif isinstance(event, StepStarted):
            self._status.update(f"[bold]{event.name}[/] …")
            self._status.start()
        elif isinstance(event, CheckDone):
            self._status.update(f"[bold]check[/] {event.id}")
            self._status.start()
        else:
            self._finish(event)

    def _bar(self, event: Progress) -> None:
        self._status.stop()
        width = self._console.width
        name, detail = _cut(one_line(event.task), width // 3), _cut(event.detail, width - width // 3 - FIGURES)
        if event.task not in self._tasks:
            self._bars.start()
            self._tasks[event.task] = self._bars.add_task(name, total=event.total or None, detail="")
        bar = self._tasks[event.task]
        self._bars.update(bar, description=name, completed=event.done, total=event.total or None, detail=detail)
        if event.total and event.done >= event.total:
            self._bars.remove_task(self._tasks.pop(event.task))

    def _finish(self, event: Said) -> None:
        if isinstance(event, StepDone):
            self._status.stop()
            self._bars.stop()
        text = _line(event, self._verbose)
        if text:
            self._console.print(neutral(text), markup=False)

    def close(self) -> None:
        """Clear what is being redrawn."""
        self._status.stop()
        self._bars.stop()


def _cut(text: str, room: int) -> str:
    """Return what `room` columns hold of a text, its end rather than its middle: shards differ there."""
    if len(text) <= room:
        return text
    tail = (room - 1) // 2
    return f"{text[: room - 1 - tail]}…{text[-tail:]}" if tail > 2 else ""


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
