"""What is chosen for ten machines, and why: the table of the resolution at work.

    python benchmarks/resolutions.py [--write]

The cards are real captures of `nvidia-smi -q -x`; where none shows a case, a driver or a capability is replaced in one, and
the page says so. Needs nothing but the checkout.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from provision.facts import Facts, smi
from provision.matrix import load_matrix
from provision.resolve import Wanted, explain, resolve
from tests.fakes.facts import machine
from tests.fakes.nvidia_smi import CAPTURES
from tests.faults.plan import CAPABILITIES

PAGE = Path(__file__).with_suffix(".md")


@dataclass(frozen=True)
class Case:
    """A machine: its captures, what is replaced in them, and what is wanted of it."""

    captures: tuple[str, ...] = ()
    driver: str = ""
    capability: str = ""
    wanted: Wanted = field(default_factory=lambda: Wanted(engine="docker"))

    @property
    def name(self) -> str:
        """What the page calls it."""
        parts = [" and ".join(self.captures) or "no GPU"]
        parts += [f"driver {self.driver} put in"] if self.driver else []
        parts += [f"capability {self.capability} put in"] if self.capability else []
        parts += [f"base {self.wanted.base}"] if self.wanted.base != "auto" else []
        parts += ["no nvcc wanted"] if not self.wanted.toolkit else []
        return ", ".join(parts)


CASES = (
    Case(),
    Case(("tesla-t4.xml",)),
    Case(("tesla-t4.xml",), driver="580.95.05"),
    Case(("a100-sxm4-v12.xml",)),
    Case(("rtx-3080-v13.xml",)),
    Case(("rtx-4000-sff-ada-v13.xml",)),
    Case(("tesla-t4.xml", "rtx-4000-sff-ada-v13.xml"), driver="595.84"),
    Case(("tesla-t4.xml",), driver="580.95.05", capability="7.0"),
    Case(("rtx-4000-sff-ada-v13.xml",), driver="572.16", capability="12.0"),
    Case(("a100-sxm4-v12.xml",), wanted=Wanted(engine="docker", base="nvidia/cuda", toolkit=False)),
)


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    page = "".join(_page())
    if parser.parse_args().write:
        PAGE.write_text(page, "utf-8")
    else:
        print(page)


def _page() -> Iterator[str]:
    matrix = load_matrix()
    yield "# What is chosen, and why\n\nWritten by `benchmarks/resolutions.py`. Marks: see the matrix.\n"
    for case in CASES:
        found = resolve(_facts(case), case.wanted, matrix)
        yield f"\n## {case.name}\n\n```\n" + "\n".join(explain(found)) + "\n```\n"


def _facts(case: Case) -> Facts:
    documents = {name: smi.parse((CAPTURES / name).read_text("utf-8")) for name in case.captures}
    cards = [
        replace(card, compute_capability=case.capability or CAPABILITIES[name])
        for name, document in documents.items()
        for card in document.gpus
    ]
    captured = next((document.driver_version for document in documents.values()), "")
    return machine(driver=case.driver or captured, gpus=cards)


if __name__ == "__main__":
    main()
