"""Several GPUs, in a process of its own: what hangs here takes nothing with it."""

from __future__ import annotations

import importlib
from typing import Any

from checks.probes.devices import allreduce, peers
from checks.probes.loader import Stage, hear

LIMIT = 60.0  # seconds that peer copies and an all-reduce may take (CHECKS, X2)


def main(params: dict[str, Any]) -> None:
    torch = importlib.import_module("torch")
    with Stage("multigpu.nvlink") as fact:
        told = hear(["nvidia-smi", "nvlink", "-s"], 30.0)
        fact.update(code=told["code"], out=told["out"][:8000])
    with Stage("multigpu.allreduce", LIMIT) as fact:
        allreduce(torch, fact)
    with Stage("multigpu.peer", LIMIT) as fact:
        peers(torch, fact)
