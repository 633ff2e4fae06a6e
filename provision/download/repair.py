"""A whole file whose digest is wrong: find the damage by comparing it with the bytes as a source sends them again."""

from __future__ import annotations

from provision.download.board import Job
from provision.download.carrier import Works, mismatch
from provision.download.parts import Part
from provision.download.roster import Choice
from provision.download.verify import BLOCK, Digest, Seal, extend
from provision.events import Listener, Note
from provision.sources.interface import SourceError, Stream

ROUNDS = 3  # sources that are asked for the whole file again, at most


def repair(job: Job, part: Part, seal: Seal, works: Works, listener: Listener) -> Seal:
    """Return the seal that fits, the part being mended. Raises SourceError `sha256-mismatch` where nobody's bytes do.

    Those who sent least of the file are asked first: they can bear witness. After each block that differs, the rest of the
    disk is hashed behind it, so that one flipped byte ends the comparison.
    """
    path = job.file.path
    listener(Note(path, f"{path} is whole, but its sha256 is not the one listed: comparing it with a source", "warn"))
    shares = part.shares()
    witnesses = sorted(works.roster.offers(job.file, job.refused), key=lambda one: shares.get(one.entry.source.name, 0))
    asked = max(shares, key=lambda name: shares[name], default="")
    for choice in witnesses[:ROUNDS]:
        asked = choice.entry.source.name
        try:
            seal = _compare(job, part, choice, works, listener)
        except SourceError as error:
            listener(Note(path, f"{choice.entry.source.name}: {error.message}", "warn"))
            continue
        if seal.fits(job.file):
            return seal
    raise mismatch(job, asked, seal)


def _compare(job: Job, part: Part, choice: Choice, works: Works, listener: Listener) -> Seal:
    theirs, ours = memoryview(bytearray(BLOCK)), memoryview(bytearray(BLOCK))
    name, digest = choice.entry.source.name, Digest(job.file)
    stream = choice.entry.source.open(choice.manifest, choice.file)
    try:
        while digest.position < part.size and not works.board.stopped:
            offset = digest.position
            block = theirs[: min(BLOCK, part.size - offset)]
            _fill(stream, block, job, name, works)
            part.read(ours[: len(block)], offset)
            if ours[: len(block)] == block:
                digest.update(block)
                continue
            blamed = ", ".join(sorted(part.senders(offset, offset + len(block)))) or "the disk"
            listener(
                Note(job.file.path, f"bytes {offset}-{offset + len(block)} from {blamed} differ from {name}'s", "warn")
            )
            part.overwrite(block, offset)
            works.roster.distrust(part.senders(offset, offset + len(block)) - {name}, job.file.path)
            digest.update(block)
            rest = digest.copy()
            extend(rest, part, part.size, ours)
            if rest.seal().fits(job.file):
                return rest.seal()
    finally:
        stream.close()
    return digest.seal()


def _fill(stream: Stream, block: memoryview, job: Job, name: str, works: Works) -> None:
    have = 0
    while have < len(block):
        count = stream.readinto(block[have:])
        if not count:
            raise mismatch(job, name, Seal("cut short", None))
        works.board.count(job, name, count)
        have += count
