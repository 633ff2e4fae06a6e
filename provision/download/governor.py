"""How many connections: few at first, more while they bring more, fewer when a hub asks for it."""

from __future__ import annotations

from provision.download.options import MIB, Options

LADDER = (1, 8, 24, 48)
WORTH = 1.25  # a rung is kept where it multiplies the speed by at least this
FAST = 200 * MIB  # a connection this fast is not throttled: more of them only cost processor time
HOLD = 15.0  # seconds before a rung that did not pay is tried again


class Governor:
    """Judges speeds. Pure but for its own memory: time and bytes are told to it."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._rungs = [rung for rung in LADDER if rung < options.connections] + [options.connections]
        self._rung = 0
        self._speed_below = 0.0  # what the rung below brought
        self._mark: tuple[float, int] | None = None
        self._not_before = 0.0
        self._alone: float | None = None  # what one connection brought at the first look

    @property
    def limit(self) -> int:
        """Connections for large files that may be open now."""
        return self._rungs[self._rung]

    def observe(self, now: float, received: int, flowing: int, waiting: float) -> None:
        """Judge: `received` bytes in all so far, `flowing` connections that have had a first byte, `waiting` for how many
        seconds a connection waits for its first byte, usually."""
        if flowing < self.limit:
            self._mark = None  # not all are under way: nothing to judge yet
            return
        if self._mark is None:
            self._mark = (now, received)
            return
        seconds = now - self._mark[0]
        least = self._options.probe / (2 if self._rung == 0 else 1)  # alone, only far from FAST or near it is told apart
        if seconds < max(least, 2 * waiting):
            return
        speed = (received - self._mark[1]) / seconds
        self._mark = (now, received)
        self._judge(now, speed)

    def _judge(self, now: float, speed: float) -> None:
        if self._rung == 0 and self._alone is None:
            self._alone = speed  # a first look falls into everybody's start: the second one counts too
            return
        speed = max(speed, self._alone or 0.0) if self._rung == 0 else speed
        if self._speed_below and speed < self._speed_below * WORTH:
            self._rung -= 1
            self._speed_below, self._not_before, self._mark = 0.0, now + HOLD, None
            return
        self._speed_below = 0.0
        if now >= self._not_before and self._rung + 1 < len(self._rungs) and speed / self.limit < FAST:
            self._speed_below, self._mark = speed, None
            self._rung += 1

    def ease(self, now: float) -> None:
        """Go down a rung and stay there a while: a hub limits requests."""
        self._rung = max(0, self._rung - 1)
        self._speed_below, self._mark, self._not_before = 0.0, None, now + 2 * HOLD

    def part_length(self, speed: float, left: int) -> int:
        """Return how long the next part is to be: worth a request, and short enough that all end together.

        `speed` is one connection's, in bytes per second (0 unknown); `left` bytes of the file are free.
        """
        options = self._options
        want = options.first_part if not speed else int(speed * options.part_seconds)
        fair = left // (2 * self.limit) if self.limit > 1 else left
        return max(options.shortest_part, min(want, fair, options.longest_part))
