"""ModelScope: MODELSCOPE_ENDPOINT, and MODELSCOPE_DOMAIN for older versions (modelscope 1.40, modelscope_hub.config)."""

from __future__ import annotations

from collections.abc import Sequence

from provision.machines.interface import Machine
from provision.mirrors import environment
from provision.mirrors.interface import Place, Plan, Scope, Verified, not_in_force, single

TOOL = "modelscope"
SCOPES: tuple[Scope, ...] = ("user", "system")
OVERRIDES = ("MODELSCOPE_ENDPOINT", "MODELSCOPE_DOMAIN")
QUESTION = "from modelscope.hub.utils.utils import get_endpoint; print(get_endpoint().partition('://')[2])"


def current(machine: Machine, place: Place) -> str:
    """See `Writer.current`: it is a variable."""
    return place.environ.get("MODELSCOPE_ENDPOINT", "")


def plan(place: Place, urls: Sequence[str]) -> Plan:
    """See `Writer.plan`."""
    return environment.plan(place, TOOL, single(TOOL, urls))


def verify(machine: Machine, place: Place, urls: Sequence[str]) -> Verified:
    """See `Writer.verify`: a shell reads the file, and modelscope in it says where it would ask."""
    wanted = single(TOOL, urls).partition("://")[2]
    said = environment.ask_python(machine, place, TOOL, QUESTION, OVERRIDES)
    if said is None:
        return Verified(TOOL, "", "there is no shell here to ask")
    if said.splitlines()[-1:] != [wanted]:
        raise not_in_force(TOOL, wanted, said)
    return Verified(TOOL, "modelscope get_endpoint", said)
