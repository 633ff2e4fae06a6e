"""The runner: probes run once, crashes and deadlines lose only what was not yet said, and broken links block the rest."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from checks.interface import About, Check, Fact, Judgement, always, failed, passed, skipped
from checks.probes import loader
from checks.runner import Seen, read_lines, run, run_script
from provision.events import CheckDone, Event
from provision.findings import Report, Status
from provision.machines.interface import Completed, Outcome
from provision.machines.local import LocalMachine
from provision.spec import ChecksSpec, Spec
from tests.fakes.site import about


def fine(fact: Fact, about: About) -> Judgement:
    return passed(f"saw {fact.value.get('x')}")


def broken(fact: Fact, about: About) -> Judgement:
    return failed("broken", "it is broken", hint="mend it")


def probe_of(*lines: str, code: int = 0, outcome: Outcome = Outcome.EXITED, stderr: str = "") -> Seen:
    returncode = code if outcome is Outcome.EXITED else None
    return read_lines(Completed(("python",), outcome, returncode, "\n".join(lines).encode(), stderr.encode(), 3.0))


def fact(name: str, value: str = '{"x": 1}') -> str:
    return f'{{"fact": "{name}", "value": {value}, "error": null, "seconds": 0.5}}'


CHAIN = (
    Check("host.one", fine, "p", required=always),
    Check("torch.two", fine, "p", needs=("host.one",), required=always),
    Check("model.three", fine, "p", needs=("torch.two",), required=always),
)


def statuses(seen: Seen, checks: tuple[Check, ...] = CHAIN, spec: Spec | None = None) -> dict[str, str]:
    findings, _ = run(checks, {"p": lambda: seen}, about(spec), lambda event: None)
    return {found.id: f"{found.status} {found.code}" for found in findings}


def test_one_probe_serves_many_checks_and_runs_once() -> None:
    calls: list[int] = []

    def probe() -> Seen:
        calls.append(1)
        return probe_of(fact("host.one"), fact("torch.two"), fact("model.three"))

    heard: list[Event] = []
    findings, facts = run(CHAIN, {"p": probe}, about(), heard.append)
    assert calls == [1] and [found.status for found in findings] == [Status.PASS] * 3
    assert findings[0].summary == "saw 1" and findings[0].seconds == 0.5 and set(facts) == {c.id for c in CHAIN}
    assert [event.id for event in heard if isinstance(event, CheckDone)] == [check.id for check in CHAIN]


def test_a_crash_fails_the_stage_it_was_in_and_blocks_what_needs_it() -> None:
    seen = probe_of(fact("host.one"), '{"begin": "torch.two"}', code=-11, stderr="segfault here")
    assert statuses(seen) == {"host.one": "pass ok", "torch.two": "fail probe-crashed", "model.three": "blocked blocked"}
    findings, _ = run(CHAIN, {"p": lambda: seen}, about(), lambda event: None)
    assert findings[1].summary == "the probe died of SIGSEGV" and findings[1].evidence == "segfault here"
    assert findings[2].blocked_by == "torch.two"


def test_out_of_memory_inside_a_container_is_named() -> None:
    seen = probe_of('{"begin": "host.one"}', code=137)
    findings, _ = run(CHAIN, {"p": lambda: seen}, about(), lambda event: None)
    assert findings[0].summary == "the probe died of SIGKILL"


@pytest.mark.parametrize("outcome", [Outcome.TIMED_OUT, Outcome.HUNG])
def test_a_deadline_is_hung_never_pass(outcome: Outcome) -> None:
    seen = probe_of(fact("host.one"), '{"begin": "torch.two"}', outcome=outcome)
    assert statuses(seen) == {"host.one": "pass ok", "torch.two": "hung probe-hung", "model.three": "blocked blocked"}


def test_a_probe_that_never_speaks_fails_the_first_and_blocks_the_rest() -> None:
    assert statuses(probe_of(code=1, stderr="no json")) == {
        "host.one": "fail probe-crashed",
        "torch.two": "blocked blocked",
        "model.three": "blocked blocked",
    }
    assert statuses(probe_of(outcome=Outcome.NOT_FOUND))["host.one"] == "fail python-missing"


def test_a_fact_that_is_simply_not_told_is_unknown() -> None:
    assert statuses(probe_of(fact("host.one"), fact("model.three")))["torch.two"] == "unknown not-reached"


def test_half_a_line_and_noise_are_not_facts() -> None:
    seen = probe_of("Loading…", fact("host.one"), '{"begin": "torch.two"}', '{"fact": "torch.two", "val', code=-9)
    assert seen.stage == "torch.two" and set(seen.facts) == {"host.one"}


@pytest.mark.parametrize("chatter", ["hello", "42", "[]", "null", '"x"', '{"a": 1}', '{"begin": "host.one", "b": 2}'])
def test_what_an_interpreter_says_while_it_starts_is_no_fact(chatter: str) -> None:
    assert set(probe_of(chatter, fact("host.one")).facts) == {"host.one"}


def test_a_required_fact_that_was_lost_is_unknown_though_a_need_is_skipped() -> None:
    needy = (
        Check("host.one", fine, applies=lambda about: skipped("no-engine", "no engine in use")),
        Check("torch.two", fine, "p", needs=("host.one",), required=always),
    )
    assert statuses(probe_of(), needy)["torch.two"] == "unknown not-reached"


def test_the_loader_can_be_an_argument_under_any_locale() -> None:
    assert Path(loader.__file__).read_bytes().isascii()


def test_a_command_is_heard_to_its_end_and_only_so_much_of_it_is_kept() -> None:
    flood = [sys.executable, "-c", "import os; [os.write(1, b'x' * (1 << 20)) for _ in range(64)]"]
    told = loader.hear(flood, 60.0)
    assert (told["code"], told["late"], len(told["out"])) == (0, False, loader.KEPT)


def test_a_grandchild_that_keeps_the_pipe_open_is_not_waited_for() -> None:
    forking = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(20)\nprint('done', flush=True)"
    told = loader.hear([sys.executable, "-c", forking], 15.0)
    assert (told["code"], told["out"], told["late"]) == (0, "done\n", False)


def test_a_command_that_stops_itself_is_ended_at_its_deadline() -> None:
    stopped = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"]
    told = loader.hear(stopped, 1.0)
    assert told["late"] and told["code"] < 0


def test_a_skip_passes_its_reason_to_what_was_never_said() -> None:
    checks = (
        Check("toolkit.a", lambda fact, about: skipped("no-toolkit", "no nvcc"), "p"),
        Check("toolkit.b", fine, "p", needs=("toolkit.a",)),
    )
    findings, _ = run(checks, {"p": lambda: probe_of(fact("toolkit.a"))}, about(), lambda event: None)
    assert [(found.status.value, found.summary) for found in findings] == [("skip", "no nvcc")] * 2


def test_what_does_not_apply_is_skipped_and_never_required_nor_probed() -> None:
    check = Check("model.x", fine, "never", applies=lambda about: skipped("no-model", "none"), required=always)
    findings, _ = run((check,), {}, about(), lambda event: None)
    assert findings[0].status is Status.SKIP and not findings[0].required


def test_a_left_out_check_says_so_and_the_spec_can_require_another() -> None:
    spec = Spec(checks=ChecksSpec(skip=("host.one",), required=("torch.two",)))
    checks = (Check("host.one", fine, "p", required=always), Check("torch.two", fine, "p"))
    findings, _ = run(checks, {"p": lambda: probe_of(fact("torch.two"))}, about(spec), lambda event: None)
    assert findings[0].code == "asked" and not findings[0].required and findings[1].required


def test_the_first_broken_link_is_the_root_cause() -> None:
    checks = (Check("host.one", broken, required=always), *CHAIN[1:])
    findings, _ = run(checks, {"p": lambda: probe_of()}, about(), lambda event: None)
    report = Report(findings, "2026-11-24T00:00:00+00:00", 1.0, "smoke", "local")
    assert report.root_cause == ("host.one",) and report.exit_code == 1


def test_probes_run_through_a_real_python_and_their_prints_do_not_disturb() -> None:
    machine = LocalMachine({"PATH": os.environ["PATH"]})
    seen = run_script(
        machine,
        sys.executable,
        "checks.probes.environment",
        {"architecture": "sm_75"},
        along=("checks.probes.folder",),
        timeout=120,
    )
    assert seen.trouble is None
    assert seen.facts["environment.python"]["executable"] == sys.executable
    assert seen.facts["engine.shm"]["bytes"] > 0 and "pip" in seen.facts["mirrors.config"].value


def test_a_runtime_without_torch_says_so_and_no_more() -> None:
    machine = LocalMachine({"PATH": os.environ["PATH"]})
    seen = run_script(
        machine,
        sys.executable,
        "checks.probes.runtime",
        {"model": None},
        along=("checks.thinking", "checks.probes.devices", "checks.probes.crosscheck"),
        timeout=60,
    )
    error = seen.facts["torch.import"].error
    assert seen.trouble is None and error and error["type"] == "ModuleNotFoundError" and len(seen.facts) == 1
