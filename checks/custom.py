"""Users' own checks, from YAML: what is looked at, and what is expected of it. Each becomes the check `custom.<name>`.

- name: the driver answers
  command: [nvidia-smi, -L]
  stdout: {contains: GPU 0}
- {file: /etc/app.conf, mode: "0644", contents: {regex: "^mode=prod$"}}
- {package: numpy, version: {">=": "1.26", not: "2.0.0"}}
"""

from __future__ import annotations

import re
import shlex
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from checks.extending import Extension, Place
from checks.interface import About, Check, Fact, Judgement, always, failed, passed, skipped, unknown, warned
from checks.matching import Matcher, parse
from checks.runner import Seen, run_script
from provision.errors import SpecError, nearest
from provision.findings import Status
from provision.spec import Located

SCRIPT = "checks.probes.custom"
LONGEST = 60  # letters of a name
TIMEOUT = 30  # seconds that a look may take unless `timeout` says otherwise


@dataclass(frozen=True)
class Kind:
    """A kind of thing to look at: what can be expected of it, what is unless something else is, how to look by hand.

    `alive` is what only a running machine has: it is looked at on this side, and an image alone has nothing of it.
    """

    attributes: tuple[str, ...]
    usual: tuple[str, Any]
    by_hand: str
    options: tuple[str, ...] = ()
    alive: bool = False


KINDS: Mapping[str, Kind] = {
    "command": Kind(("exit_code", "stdout", "stderr"), ("exit_code", 0), "{}", ("env",)),
    "file": Kind(
        (
            *("exists", "kind", "mode", "permissions", "executable", "size", "owner", "group", "uid", "gid", "linked_to"),
            *("contents", "md5", "sha256", "sha512"),
        ),
        ("exists", True),
        "ls -ld {}",
    ),
    "port": Kind(("listening", "addresses"), ("listening", True), "ss -lntu", alive=True),
    "http": Kind(
        ("status", "body", "headers"),
        ("status", 200),
        "curl -i {}",
        ("method", "request_headers", "request_body", "insecure", "follow"),
        alive=True,
    ),
    "address": Kind(("reachable",), ("reachable", True), "curl -v telnet://{}", alive=True),
    "module": Kind(("works", "version", "path"), ("works", True), "python3 -c 'import {}'"),
    "package": Kind(("installed", "version"), ("installed", True), "pip show {}"),
    "system_package": Kind(("installed", "version", "versions"), ("installed", True), "dpkg -s {} || rpm -q {}"),
    "user": Kind(("exists", "uid", "gid", "home", "shell", "groups"), ("exists", True), "id {}"),
    "group": Kind(("exists", "gid"), ("exists", True), "getent group {}"),
    "process": Kind(("running", "count"), ("running", True), "pgrep -x {}", alive=True),
    "variable": Kind(("exists", "value"), ("exists", True), "printenv {}"),
    "image": Kind(("value",), ("value", {"exists": True}), "docker image inspect"),
}
ALIASES: Mapping[str, str] = {"import": "module"}
COMMON = ("name", "hint", "level", "at", "timeout")
READ = frozenset({"contents", "md5", "sha256", "sha512"})
VERSIONS = frozenset({"version", "versions"})
METADATA = ("user", "workdir", "entrypoint", "command", "ports", "volumes", "healthcheck", "environment", "labels")


@dataclass(frozen=True)
class Entry:
    """One user's check. `expects` are attributes with their matchers; `origin` is where it stands; `here` is whether it is
    looked at on this side, network and all, rather than inside."""

    id: str
    kind: str
    subject: Any
    expects: tuple[tuple[str, Matcher], ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    hint: str = ""
    only_warns: bool = False
    here: bool = False
    origin: str = ""

    @property
    def told(self) -> str:
        """What is looked at, in words."""
        return f"{self.kind} {self.subject if isinstance(self.subject, str) else shlex.join(self.subject)}"

    @property
    def asked(self) -> dict[str, Any]:
        """What the probe is given."""
        return {"id": self.id, "kind": self.kind, "subject": self.subject, "options": self.options}


def read_entries(found: Located) -> tuple[Entry, ...]:
    """Return the entries of a YAML list. Raises SpecError naming the place of what is wrong."""
    if not isinstance(found.value, list):
        raise SpecError(f"{found.origin}: a list of checks was expected", hint="- {file: /etc/hosts}")
    entries: list[Entry] = []
    for item in found.value:
        entry = read_entry(item)
        same = next((known for known in entries if known.id == entry.id), None)
        if same:
            hint = f"first at {same.origin}; give one of them another `name`"
            raise SpecError(f"{entry.origin}: two checks are called {entry.id}", hint=hint)
        entries.append(entry)
    return tuple(entries)


def read_entry(found: Located) -> Entry:
    """Return one entry. Raises SpecError."""
    if not isinstance(found.value, dict):
        raise SpecError(f"{found.origin}: a check is keys and values, such as {{file: /etc/hosts}}")
    given: dict[str, Located] = {ALIASES.get(str(key), str(key)): value for key, value in found.value.items()}
    kinds = [key for key in given if key in KINDS and (key != "group" or "file" not in given)]
    if len(kinds) != 1:
        known = [*KINDS, *ALIASES]
        near = next(filter(None, (nearest(key, known) for key in given)), None)
        hint = f"did you mean {near!r}?" if near and not kinds else f"one of {', '.join(known)}"
        raise SpecError(f"{found.origin}: a check looks at one thing, this one at {len(kinds)}", hint=hint)
    kind = KINDS[kinds[0]]
    subject = _subject(kinds[0], given[kinds[0]])
    rest = {key: value for key, value in given.items() if key != kinds[0]}
    expects = tuple(_expectations(kinds[0], kind, rest))
    at = _plain_of(rest, "at", "here" if kind.alive else "inside")
    if at not in ("here", "inside"):
        raise SpecError(f"{rest['at'].origin}: at is here or inside, not {at!r}")
    level = _plain_of(rest, "level", "fail")
    if level not in ("fail", "warn"):
        raise SpecError(f"{rest['level'].origin}: level is fail or warn, not {level!r}")
    return Entry(
        id=f"custom.{slug(_plain_of(rest, 'name', f'{kinds[0]} {given[kinds[0]].plain}'))}",
        kind=kinds[0],
        subject=subject,
        expects=expects,
        options=_options(kind, rest, expects),
        hint=_plain_of(rest, "hint", ""),
        only_warns=level == "warn",
        here=at == "here",
        origin=found.origin,
    )


def _plain_of(given: Mapping[str, Located], key: str, usual: Any) -> Any:
    return given[key].plain if key in given else usual


def slug(name: Any) -> str:
    """Return a name as an id has it; a long one is cut, and keeps what tells it from others cut at the same place."""
    words = " ".join(map(str, name)) if isinstance(name, list) else str(name)
    made = re.sub(r"[^a-z0-9_.]+", "-", words.lower()).strip("-.") or f"unnamed-{zlib.crc32(words.encode()):08x}"
    return made if len(made) <= LONGEST else f"{made[: LONGEST - 9]}-{zlib.crc32(words.encode()):08x}"


def _subject(kind: str, found: Located) -> Any:
    """A command is a vector, or a line for the shell; a port has its protocol; the rest is text."""
    value = found.plain
    if kind == "command":
        if isinstance(value, str):
            return ["sh", "-c", value]
        if isinstance(value, list) and value and all(isinstance(word, (str, int, float)) for word in value):
            return [str(word) for word in value]
        raise SpecError(f"{found.origin}: command is a list of words, or a line for the shell")
    if kind == "port":
        match = re.fullmatch(r"(?:(tcp6?|udp6?):)?(\d{1,5})", str(value))
        if not match:
            raise SpecError(f"{found.origin}: port is a number, or tcp:8000, udp:53")
        return f"{match[1] or 'tcp'}:{match[2]}"
    if not isinstance(value, (str, int)) or isinstance(value, bool) or not str(value):
        raise SpecError(f"{found.origin}: {kind} is a text")
    text = re.sub(r"^(tcp|udp)://", "", str(value)) if kind == "address" else str(value)
    if kind == "address" and not re.fullmatch(r".+:\d{1,5}", text):
        raise SpecError(f"{found.origin}: address is HOST:PORT")
    if kind == "image" and text.partition(".")[0] not in METADATA:
        raise SpecError(f"{found.origin}: an image has {', '.join(METADATA)}", hint="image: labels.maintainer")
    return text


def _expectations(name: str, kind: Kind, rest: Mapping[str, Located]) -> Iterator[tuple[str, Matcher]]:
    wanted = {key: value for key, value in rest.items() if key in kind.attributes}
    known = (*kind.attributes, *kind.options, *COMMON)
    for key, value in rest.items():
        if key not in known:
            near = nearest(key, known)
            hint = f"did you mean {near!r}?" if near else f"known here: {', '.join(known)}"
            raise SpecError(f"{value.origin}: a {name} has no {key!r}", hint=hint, reference="spec-unknown-key")
    usual, expected = kind.usual
    if usual not in wanted:
        yield usual, parse(expected)
    for key, value in wanted.items():
        given = value.plain
        if key in VERSIONS and _has_number(given):
            raise SpecError(f"{value.origin}: put versions in quotes: YAML reads 2.10 as 2.1")
        if key == "mode" and isinstance(given, int):
            raise SpecError(f'{value.origin}: put the mode in quotes: mode: "0644"')
        try:
            yield key, parse(given)
        except ValueError as error:
            raise SpecError(f"{value.origin}: {key}: {error}") from None


def _has_number(given: Any) -> bool:
    if isinstance(given, Mapping):
        return any(_has_number(item) for key, item in given.items() if key not in ("exists", "length"))
    if isinstance(given, list):
        return any(map(_has_number, given))
    return isinstance(given, (int, float)) and not isinstance(given, bool)


def _options(kind: Kind, rest: Mapping[str, Located], expects: Iterable[tuple[str, Matcher]]) -> dict[str, Any]:
    options = {key: rest[key].plain for key in kind.options if key in rest}
    timeout = _plain_of(rest, "timeout", TIMEOUT)
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= 3600:
        raise SpecError(f"{rest['timeout'].origin}: timeout is seconds, more than 0 and at most 3600")
    for key in ("env", "request_headers"):
        if key in options and not isinstance(options[key], dict):
            raise SpecError(f"{rest[key].origin}: {key} is names and values")
        options |= {key: {name: str(value) for name, value in options[key].items()}} if key in options else {}
    read = sorted(READ & {key for key, _ in expects})
    return {**options, "timeout": timeout, **({"read": read} if read else {})}


def extension(entries: Sequence[Entry], here: Callable[[str, Mapping[str, Any], float], Seen], name: str) -> Extension:
    """Return the checks of `entries` with their two probes: `here` runs a script on this side.

    `name` keeps the probes of several files apart.
    """
    inside = [entry for entry in entries if not entry.here and entry.kind != "image"]
    outside = [entry for entry in entries if entry.here and entry.kind != "image"]

    def look_inside(place: Place) -> Seen:
        params = {"asked": [entry.asked for entry in inside]}
        return run_script(place.machine, place.python, SCRIPT, params, timeout=_longest(inside), env=place.env)

    def look_here() -> Seen:
        return here(SCRIPT, {"asked": [entry.asked for entry in outside]}, _longest(outside))

    checks = tuple(_check(entry, name) for entry in entries)
    return Extension(checks, inside={f"{name}, inside": look_inside}, here={f"{name}, here": look_here})


def _longest(entries: Iterable[Entry]) -> float:
    return 60.0 + sum(float(entry.options["timeout"]) for entry in entries)


def _check(entry: Entry, name: str) -> Check:
    if entry.kind == "image":
        return Check(entry.id, partial(judge_metadata, entry), "image", fact="image", applies=_image_only, required=always)
    probe = f"{name}, {'here' if entry.here else 'inside'}"
    applies = _running_only if KINDS[entry.kind].alive else _anywhere
    return Check(entry.id, partial(judge, entry), probe, applies=applies, required=always)


def _anywhere(about: About) -> Judgement | None:
    return None


def _running_only(about: About) -> Judgement | None:
    return skipped("not-running", "an image alone runs no service: look at it where it runs") if about.image else None


def _image_only(about: About) -> Judgement | None:
    return None if about.image else skipped("no-image", "no image was asked about (--image)")


def judge(entry: Entry, fact: Fact, about: About) -> Judgement:
    """Hold what was seen against what is expected. What could not be looked at is unknown, never absent."""
    if fact.error:
        words, hint = f"{entry.told} could not be looked at", entry.hint or _by_hand(entry)
        return unknown("not-looked-at", words, observed=fact.error["message"], hint=hint)
    if "late" in fact.value:
        words = f"{entry.told} gave no answer in {fact['late']:g} s"
        return Judgement(Status.HUNG, "command-hung", words, evidence=str(fact.value.get("stderr", ""))[-2000:])
    unmet = [(key, matcher) for key, matcher in entry.expects if not matcher.holds(fact.value.get(key))]
    unseen = [key for key, _ in unmet if fact.value.get(key) is None]
    if unseen and "unseen" in fact.value:
        words = f"{entry.told}: this user cannot see its {unseen[0]}"
        return unknown("not-readable", words, observed=fact["unseen"], hint=entry.hint or _by_hand(entry))
    if unmet:
        return _mismatch(entry, unmet, fact.value)
    return passed(f"{entry.told}: {_words(entry.expects)}", observed=_seen(fact.value, entry.expects[0][0]))


def judge_metadata(entry: Entry, fact: Fact, about: About) -> Judgement:
    """The image's own settings, as the engine tells them."""
    name, _, key = str(entry.subject).partition(".")
    value = fact["config"][name]
    if key:
        value = value.get(key)
    unmet = [(attribute, matcher) for attribute, matcher in entry.expects if not matcher.holds(value)]
    if unmet:
        return _mismatch(entry, unmet, {"value": value})
    return passed(f"{entry.told}: {_words(entry.expects)}", observed=str(value))


def _mismatch(entry: Entry, unmet: Sequence[tuple[str, Matcher]], seen: Mapping[str, Any]) -> Judgement:
    key = unmet[0][0]
    more = {name: seen[name] for name in ("error", "stderr") if seen.get(name) and name != key}
    return (warned if entry.only_warns else failed)(
        "not-as-expected",
        f"{entry.told}: {', '.join(name for name, _ in unmet)} not as expected",
        expected=_words(unmet),
        observed=_seen(seen, key),
        evidence="\n".join([f"from {entry.origin}", *(str(words)[-600:] for words in more.values())]),
        hint=entry.hint or _by_hand(entry),
    )


def _words(expects: Iterable[tuple[str, Matcher]]) -> str:
    return ", ".join(f"{key} {matcher.words}" for key, matcher in expects)


def _seen(seen: Mapping[str, Any], key: str) -> str:
    value = seen.get(key)
    return (
        f"no {key}"
        if value is None
        else f"{key} {str(value).strip()[-300:]!r}"
        if isinstance(value, str)
        else f"{key} {value}"
    )


def _by_hand(entry: Entry) -> str:
    if entry.kind == "command":
        return shlex.join(entry.subject[2:] if entry.subject[:2] == ["sh", "-c"] else entry.subject)
    return KINDS[entry.kind].by_hand.replace("{}", shlex.quote(str(entry.subject)))
