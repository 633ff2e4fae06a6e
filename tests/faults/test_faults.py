"""Every planted fault comes to its root cause, code, exit code and hint; a healthy machine to nothing but pass and skip."""

from __future__ import annotations

import pytest

from benchmarks.confusion import EVERY, HEALTHY, PAGE, complaints, expected, is_right, render
from tests.faults.field import FIELD
from tests.faults.live import LIVE, TORCH_PYTHON, LiveFault, healthy_in_torch
from tests.faults.plan import Fault, healthy, outcome
from tests.faults.table import FAULTS

LOADING = [fault for fault in LIVE if fault.needs_torch]
QUICK = [fault for fault in LIVE if not fault.needs_torch]
with_torch = pytest.mark.skipif(not TORCH_PYTHON.exists(), reason="no torch here yet: provision up --profile smoke")


@pytest.mark.parametrize("fault", [*FAULTS, *FIELD, *QUICK], ids=lambda fault: fault.name)
def test_a_planted_fault_is_the_root_cause(fault: Fault) -> None:
    came = outcome(fault.judged())
    assert is_right(fault, came), came


@with_torch
@pytest.mark.slow
@pytest.mark.parametrize("fault", LOADING, ids=lambda fault: fault.name)
def test_a_fault_in_a_real_model_is_the_root_cause(fault: LiveFault) -> None:
    came = outcome(fault.judged())
    assert is_right(fault, came), came


@pytest.mark.parametrize(("capture", "engine", "gpus"), HEALTHY)
def test_a_healthy_machine_has_nothing_but_passes_and_skips(capture: str, engine: str, gpus: int) -> None:
    report = healthy(capture, engine, gpus).judged()
    assert complaints(report) == [] and report.exit_code == 0


@with_torch
@pytest.mark.slow
def test_the_healthy_model_in_a_real_torch_has_nothing_but_passes_and_skips() -> None:
    report = healthy_in_torch()
    assert complaints(report) == [] and report.exit_code == 0


def test_there_are_enough_of_them_and_each_is_named_once() -> None:
    names = [fault.name for fault in EVERY]
    assert len(names) >= 80 and len(set(names)) == len(names)
    assert all(fault.source for fault in EVERY)


def test_the_page_is_what_these_tables_give() -> None:
    text = render([(fault, expected(fault)) for fault in EVERY], len(HEALTHY) + 1, 0)
    assert PAGE.read_text() == text, "python -m benchmarks.confusion"
