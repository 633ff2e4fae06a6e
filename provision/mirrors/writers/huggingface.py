"""Hugging Face: HF_ENDPOINT, read when huggingface_hub is imported (huggingface_hub 2.4, constants.py)."""

from __future__ import annotations

from collections.abc import Sequence

from provision.machines.interface import Machine
from provision.mirrors import environment
from provision.mirrors.interface import Place, Plan, Scope, Verified, not_in_force, single

TOOL = "huggingface"
SCOPES: tuple[Scope, ...] = ("user", "system")
OVERRIDES = ("HF_ENDPOINT",)
QUESTION = "import huggingface_hub.constants as found; print(found.ENDPOINT)"


def current(machine: Machine, place: Place) -> str:
    """See `Writer.current`: it is a variable."""
    return place.environ.get("HF_ENDPOINT", "")


def plan(place: Place, urls: Sequence[str]) -> Plan:
    """See `Writer.plan`."""
    return environment.plan(place, TOOL, single(TOOL, urls))


def verify(machine: Machine, place: Place, urls: Sequence[str]) -> Verified:
    """See `Writer.verify`: a shell reads the file, and huggingface_hub in it says where it would ask."""
    wanted = single(TOOL, urls)
    said = environment.ask_python(machine, place, TOOL, QUESTION, OVERRIDES)
    if said is None:
        return Verified(TOOL, "", "there is no shell here to ask")
    if said != wanted:
        raise not_in_force(TOOL, wanted, said)
    return Verified(TOOL, "huggingface_hub.constants.ENDPOINT", said)
