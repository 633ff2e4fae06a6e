"""The engine's limits, in one place. Byte rates are per second, times are seconds."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True)
class Options:
    """How hard to pull and how long to bear with a source. The defaults suit a home line and a data centre alike."""

    connections: int = 24  # at most, for large files together
    small_connections: int = 8  # at most, for files that fit in one buffer
    small: int = 512 * KIB  # a file up to this size is fetched whole, into memory
    read: int = 128 * KIB  # bytes asked of a socket at once
    first_part: int = 16 * MIB  # a part's length while a source's speed is not known
    longest_part: int = 64 * MIB
    shortest_part: int = MIB
    part_seconds: float = 1.5  # how long one part should take
    floor: int = 16 * KIB  # a source slower than this, over all its connections, is slow
    patience: float = 8.0  # how long it may be slow
    attempts: int = 5  # failures in a row without progress before a source is given up
    give_up: float = 20.0  # a failing source without progress for so long is given up
    backoff: float = 0.5  # first pause before the same source is asked again; doubles
    max_wait: float = 300.0  # the longest pause that a hub may ask for (Retry-After); it is announced
    probe: float = 0.1  # shortest look at a speed before the number of connections is judged
    absent: float = 20.0  # a process that holds a part and shows no sign of life for so long is not waited for
    beat: float = 1.0  # between signs of life for the others
    tick: float = 0.2  # between progress events
