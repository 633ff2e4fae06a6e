"""Runs probes on the Machine, lets the judges judge, and draws the chain: what is broken blocks what needs it."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any

from checks import differential
from checks.interface import About, Check, Fact, Judgement, failed, skipped, unknown
from provision.events import CheckDone, Listener
from provision.findings import Finding, Status
from provision.machines.interface import Completed, Machine, Outcome

BROKEN = frozenset({Status.FAIL, Status.HUNG, Status.BLOCKED, Status.UNKNOWN})
STAGES = {"environment.python": "engine.environment"}  # facts that are called otherwise than the check they fail
LAST_WORDS = 2000  # characters of a crashed probe's stderr
OVERDUE = "Timeout (0:"  # what Python's faulthandler says when the stage's watchdog goes off


@dataclass(frozen=True)
class Seen:
    """What a probe came to. `stage` is the fact it was at when it ended before its end; `trouble` says how it ended so."""

    facts: Mapping[str, Fact] = field(default_factory=dict)
    stage: str = ""
    trouble: Judgement | None = None


Probe = Callable[[], Seen]


class Crew:
    """Probes at work side by side, each in a thread of its own; whoever needs one waits for it."""

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        self._probes = probes
        self._answers: dict[str, Future[Seen]] = {}

    def start(self, name: str) -> None:
        """Set a probe to work, once."""
        if name not in self._answers:
            self._answers[name] = Future()
            threading.Thread(target=self._work, args=(name,), name=f"probe {name}", daemon=True).start()

    def seen(self, name: str) -> Seen:
        """Wait for what the probe came to. Raises what it raised."""
        self.start(name)
        return self._answers[name].result()

    def has(self, name: str) -> bool:
        """Whether there is such a probe here."""
        return name in self._probes

    def facts(self) -> dict[str, Fact]:
        """Every fact that was told so far; of varied probes none."""
        varied = {variation.key for variation in differential.VARIATIONS}
        done = [answer for name, answer in self._answers.items() if name not in varied and answer.done()]
        told = [answer.result().facts for answer in done if answer.exception() is None]
        return {name: fact for facts in told for name, fact in facts.items()}

    def _work(self, name: str) -> None:
        answer = self._answers[name]
        try:
            answer.set_result(self._probes[name]())
        except BaseException as error:  # noqa: BLE001  it belongs to whoever waits for the answer
            answer.set_exception(error)


def run(
    checks: Sequence[Check], probes: Mapping[str, Probe], about: About, listener: Listener
) -> tuple[tuple[Finding, ...], dict[str, Fact]]:
    """Return the findings in the order of `checks`, and every fact.

    Each probe runs once; all start together, but for those that would disturb the others: they wait for their turn.
    What is broken and has a cheap differential is looked at again with one thing changed.
    """
    crew = Crew(probes)
    for check in checks:
        if check.probe and not check.late and check.id not in about.spec.checks.skip and not check.applies(about):
            crew.start(check.probe)
    findings: dict[str, Finding] = {}
    for check in checks:
        known = replace(about, told=crew.facts())
        judgement, seconds = _judge(check, crew, known, findings)
        judgement = _differ(check, judgement, crew, known)
        found = _finding(check, judgement, about, findings, seconds)
        findings[check.id] = found
        listener(CheckDone(found.id, found.status.value, found.summary, found.seconds))
    return tuple(findings.values()), crew.facts()


def _judge(check: Check, crew: Crew, about: About, findings: Mapping[str, Finding]) -> tuple[Judgement, float]:
    if check.id in about.spec.checks.skip:
        return skipped("asked", "left out: it was asked for"), 0.0
    not_here = check.applies(about)
    if not_here:
        return not_here, 0.0
    broken = next((need for need in check.needs if need in findings and findings[need].status in BROKEN), None)
    if broken:
        return _blocked(findings[broken].blocked_by or broken), 0.0
    if check.probe is None:
        return check.judge(Fact(), about), 0.0
    seen = crew.seen(check.probe)
    return _judge_fact(check, seen, replace(about, told=crew.facts()), findings)


def _differ(check: Check, made: Judgement, crew: Crew, about: About) -> Judgement:
    """Run the probe again with one thing changed, as often as there is something to change, and say what came of it."""
    if made.status not in (Status.FAIL, Status.HUNG, Status.WARN):
        return made
    tried: list[str] = []
    for variation in differential.for_finding(check.id, made.code):
        if not crew.has(variation.key):
            continue
        again, _ = _judge_fact(check, crew.seen(variation.key), about, {})
        if again.status in (Status.PASS, Status.WARN) and again.code != made.code:
            evidence = "\n".join(filter(None, [made.evidence, *tried, f"healed by: {variation.name}"]))
            status = Status.FAIL if made.status is Status.HUNG else made.status  # with its cause known, it is no riddle
            summary = f"{made.summary}; healed by: {variation.name}"
            return replace(made, status=status, summary=summary, evidence=evidence, hint=variation.remedy)
        tried.append(f"not healed by: {variation.name} ({again.code})")
    return replace(made, evidence="\n".join(filter(None, [made.evidence, *tried])))


def _judge_fact(check: Check, seen: Seen, about: About, findings: Mapping[str, Finding]) -> tuple[Judgement, float]:
    fact = seen.facts.get(check.fact or check.id)
    if fact is not None:
        return check.judge(fact, about), fact.seconds
    if seen.trouble and seen.stage in ("", check.fact or check.id):
        return check.explain(seen.trouble), 0.0
    left_out = next(
        (findings[need] for need in check.needs if need in findings and findings[need].status is Status.SKIP), None
    )
    if left_out and not check.required(about):
        return skipped(left_out.code, left_out.summary), 0.0
    culprit = findings.get(STAGES.get(seen.stage, seen.stage))
    if seen.trouble and culprit and culprit.status in BROKEN:
        return _blocked(culprit.blocked_by or culprit.id), 0.0
    what = f"the probe ended at {seen.stage}" if seen.trouble else "the probe did not speak of it"
    return unknown("not-reached", what, hint=f"provision check --only {check.id} -v"), 0.0


def _blocked(origin: str) -> Judgement:
    return Judgement(Status.BLOCKED, "blocked", f"blocked by {origin}", observed=origin)


def _finding(check: Check, made: Judgement, about: About, findings: Mapping[str, Finding], seconds: float) -> Finding:
    required = check.applies(about) is None and (check.required(about) or check.id in about.spec.checks.required)
    return Finding(
        id=check.id,
        scope=check.scope,
        status=made.status,
        code=made.code,
        summary=made.summary,
        expected=made.expected,
        observed="" if made.status is Status.BLOCKED else made.observed,
        evidence=made.evidence,
        hint=made.hint,
        needs=check.needs,
        blocked_by=made.observed if made.status is Status.BLOCKED else None,
        required=required and check.id not in about.spec.checks.skip,
        seconds=seconds,
    )


def run_script(
    machine: Machine,
    python: str,
    script: str,
    params: Mapping[str, Any],
    *,
    along: Iterable[str] = (),
    timeout: float,
    env: Mapping[str, str] | None = None,
    without: Iterable[str] = (),
) -> Seen:
    """Pipe the module `script` to the Machine's python, after the modules `along` that it imports, and read what it said.

    Nothing is written on the machine. A crash or a deadline loses only what was not yet said. The variables `without` are
    taken away before the python starts: some are read by the dynamic linker.
    """
    modules = {name: _source(name) for name in (*along, script)}
    document = json.dumps({"modules": modules, "main": script, "params": dict(params)}).encode()
    loader = _source("checks.probes.loader")
    away = [word for name in without for word in ("-u", name)]
    argv = [*(["env", *away] if away else []), python, "-c", loader]
    return read_lines(machine.run(argv, stdin=document, timeout=timeout, env=env))


def _source(module: str) -> str:
    package, _, name = module.rpartition(".")
    return (resources.files(package) / f"{name}.py").read_text("utf-8")


def read_lines(done: Completed) -> Seen:
    """Return the facts on a probe's stdout, and how it ended if not well."""
    facts: dict[str, Fact] = {}
    stage = ""
    for line in done.text.splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            continue  # cut off in the middle by the probe's end; the stage stays the one begun
        if not isinstance(told, dict):
            continue  # the interpreter's own start says what it likes
        if set(told) == {"begin"}:
            stage = told["begin"]
        elif set(told) == {"fact", "value", "error", "seconds"}:
            facts[told["fact"]] = Fact(told["value"], told["error"], told["seconds"])
            stage = ""
    return Seen(facts, stage, _trouble(done))


def _trouble(done: Completed) -> Judgement | None:
    words = done.error_text[-LAST_WORDS:].strip()
    if OVERDUE in done.error_text:
        return Judgement(
            Status.HUNG,
            "probe-hung",
            "one stage took longer than it may; the probe ended itself",
            evidence=words,
            hint="the evidence shows where it sat; dmesg | tail",
        )
    if done.outcome in (Outcome.TIMED_OUT, Outcome.HUNG):
        how = "was ended" if done.outcome is Outcome.TIMED_OUT else "would not die: it sits in the kernel"
        return Judgement(
            Status.HUNG,
            "probe-hung",
            f"no answer in {done.seconds:.0f} s; the probe {how}",
            evidence=words,
            hint="dmesg | tail; a process in D state on the nvidia driver needs a reboot",
        )
    if done.outcome is not Outcome.EXITED:
        return failed(
            "python-missing", f"{done.argv[0]} cannot be run here", evidence=words, hint="give one: --python PATH"
        )
    if done.returncode:
        number = -done.returncode if done.returncode < 0 else done.returncode - 128
        known = number in {item.value for item in signal.Signals}
        how = f"died of {signal.Signals(number).name}" if known else f"ended with exit code {done.returncode}"
        killed = number == signal.SIGKILL
        hint = "dmesg | grep -i -e oom -e killed   # out of memory, as a rule" if killed else "dmesg | tail"
        return failed("probe-crashed", f"the probe {how}", observed=str(done.returncode), evidence=words, hint=hint)
    return None
