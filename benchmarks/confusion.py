"""Write docs/confusion-matrix.md: every planted fault and every healthy machine, and what the suite said of it.

    python -m benchmarks.confusion

The rows are those of tests/faults, which the tests hold one by one; a test holds the page to them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from provision.findings import Report
from tests.faults.field import FIELD
from tests.faults.live import LIVE, healthy_in_torch
from tests.faults.plan import CAPABILITIES, Fault, healthy, outcome
from tests.faults.table import FAULTS

PAGE = Path(__file__).parent.parent / "docs" / "confusion-matrix.md"
EVERY: tuple[Fault, ...] = (*FAULTS, *FIELD, *LIVE)
HEALTHY = tuple((capture, engine, gpus) for capture in CAPABILITIES for engine in ("local", "docker") for gpus in (1, 2))


def expected(fault: Fault) -> dict[str, Any]:
    """Return what the table says must come of a fault."""
    return {"causes": fault.causes, "code": fault.code, "exit_code": fault.exit_code, "hint": fault.hint}


def is_right(fault: Fault, came: Mapping[str, Any]) -> bool:
    """Whether root causes, code and exit code are those of the table, and the hint holds what it must."""
    wanted = expected(fault)
    return all(came[key] == wanted[key] for key in ("causes", "code", "exit_code")) and fault.hint in came["hint"]


def is_false_green(came: Mapping[str, Any]) -> bool:
    """Whether a planted fault went by without any finding."""
    return came["exit_code"] == 0 and not came["causes"]


def complaints(report: Report) -> list[str]:
    """What a report has to say besides pass and skip."""
    return [f"{found.id} {found.status}" for found in report.checks if found.status.value not in ("pass", "skip")]


def scope(causes: Sequence[str]) -> str:
    return causes[0].split(".")[0].replace("tokenizer", "model") if causes else "nothing"


def matrix(results: Iterable[tuple[Fault, Mapping[str, Any]]]) -> list[str]:
    """Return the table: where the fault was planted, against where the first root cause was found."""
    cells = Counter((scope(fault.causes), scope(came["causes"])) for fault, came in results)
    names = list(dict.fromkeys(planted for planted, _ in cells))
    found = [*names, *(name for _, name in cells if name not in names)]
    lines = [f"| planted in ↓, found in → | {' | '.join(found)} |", f"|---|{'---|' * len(found)}"]
    return lines + [f"| {name} | {' | '.join(str(cells[name, other] or '·') for other in found)} |" for name in names]


def render(results: Sequence[tuple[Fault, Mapping[str, Any]]], healthy_machines: int, complaining: int) -> str:
    """Return the page."""
    right = sum(is_right(fault, came) for fault, came in results)
    wrong = sum(came["causes"] != fault.causes for fault, came in results)
    green = sum(is_false_green(came) for _, came in results)
    kinds = ", ".join(f"{count} × {how}" for how, count in Counter(fault.how for fault, _ in results).items())
    rows = [
        f"| {fault.name} | {fault.source} | {fault.how} | {', '.join(f'`{cause}`' for cause in came['causes'])} |"
        f" `{came['code']}` | {came['exit_code']} |"
        for fault, came in results
    ]
    return "\n".join(
        [
            "# The confusion matrix",
            "",
            "Written by `python -m benchmarks.confusion`; a test holds it to the tables in `tests/faults`. Each row is",
            "one fault, planted alone, judged by the whole suite through a recorded, masked and replayed bundle. The root",
            "causes, the code, the exit code and words of the hint are what the table asks for, or the row is wrong. No",
            "GPU was to be had where this was written: machines with GPUs are captures of real ones, edited in one place.",
            "",
            "| | |",
            "|---|---|",
            f"| faults planted | {len(results)} ({kinds}) |",
            f"| root cause, code, exit code and hint all as asked | {right} |",
            f"| **wrong root causes** | **{wrong}** |",
            f"| **false greens** (a fault and not one finding) | **{green}** |",
            f"| healthy machines | {healthy_machines} |",
            f"| of these, with anything but pass and skip | {complaining} |",
            "",
            "A fault that a place can live with (a warning) exits 0; `--strict` makes it 4.",
            "",
            *matrix(results),
            "",
            "| fault | met at | planted in | root cause | code | exit |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def main() -> None:
    results = [(fault, outcome(fault.judged())) for fault in EVERY]
    reports = [*(healthy(*place).judged() for place in HEALTHY), healthy_in_torch()]
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(render(results, len(reports), sum(bool(complaints(report)) for report in reports)))
    for fault, came in results:
        if not is_right(fault, came):
            print(f"WRONG {fault.name}: {dict(came)}")


if __name__ == "__main__":
    main()
