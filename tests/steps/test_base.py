"""Which digest of a base is pinned, and which is known again; bases from a real registry are in tests/engine."""

from __future__ import annotations

from typing import Any

from provision.events import silent
from provision.machines.local import LocalMachine
from provision.steps.base import RECIPE, Base, Bootstrapped, Pulled

OWN, LISTS = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


class Podman:
    """Names what it has by every digest that it knows, as Podman does."""

    def __init__(self, labels: dict[str, str] | None = None) -> None:
        self.labels = labels
        self.pulled: list[tuple[str, str]] = []

    def image(self, reference: str) -> dict[str, Any] | None:
        return {"Config": {"Labels": self.labels}} if self.labels is not None else None

    def digests(self, reference: str) -> list[str]:
        return [OWN, LISTS] if self.labels is not None else []

    def pull(self, reference: str, digest: str) -> None:
        self.labels = {}
        self.pulled.append((reference, digest))


def test_what_the_registry_said_is_pinned_and_known_again_among_several() -> None:
    engine: Any = Podman()
    base = Base(engine, [Pulled(engine, "debian:x", ask=lambda reference: LISTS)])
    assert base.digest == "" and base.diff()
    base.apply(silent)
    assert engine.pulled == [("debian:x", LISTS)] and base.digest == LISTS
    for pinned in (OWN, LISTS):
        again = Base(engine, [Pulled(engine, "debian:x", lambda pinned=pinned: pinned)])  # type: ignore[misc]
        assert again.diff() is None and again.digest == pinned
    assert Base(engine, [Pulled(engine, "debian:x", lambda: f"sha256:{'3' * 64}")]).diff()


def test_what_was_made_here_has_no_registrys_digest() -> None:
    engine: Any = Podman({})
    made = Bootstrapped(LocalMachine({}), engine, "bookworm", None)
    engine.labels[RECIPE] = made._recipe
    assert engine.digests(made.tag) and Base(engine, [Pulled(Podman(), "debian:x"), made]).digest == ""  # type: ignore[arg-type]
