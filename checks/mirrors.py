"""Mirrors: the settings in force are those that are wanted, and each hub really sends a model's bytes."""

from __future__ import annotations

from checks.interface import About, Check, Fact, Judgement, failed, passed, unknown, warned, with_model
from provision.facts.python import PipState, parse_pip
from provision.mirrors.veil import veil


def judge_config(fact: Fact, about: About) -> Judgement:
    """What pip itself says, against the spec."""
    if fact.error or fact["pip"] is None:
        why = fact.error["message"] if fact.error else "`pip config list` does not answer"
        return unknown("pip-unread", "pip's settings cannot be read here", observed=why)
    index = parse_pip(fact["pip"], PipState.READ).index_url
    wanted = about.spec.mirrors.pip
    if wanted not in ("inherit", "upstream") and index != wanted:
        return failed(
            "pip-other-index",
            "pip asks another index",
            expected=veil(wanted),
            observed=veil(index) or "its own default",
            hint="provision up",
        )
    return passed(f"pip asks {veil(index) or 'its own default index'}", observed=veil(index) or "default")


def judge_reachable(fact: Fact, about: About) -> Judgement:
    """Every source of every model: the host that really sent bytes, or why none came. One that serves is enough, and none
    is needed where every model is here already."""
    if fact.error:
        return unknown("sources-untried", "the sources could not be tried", observed=fact.error["message"])
    lines = [f"{row['source']} ({row['model']}): {_told(row)}" for row in fact["tried"]]
    dead = [row for row in fact["tried"] if not row["bytes"]]
    if not fact["tried"]:
        return unknown("sources-untried", "there is no source to try")
    if len(dead) == len(fact["tried"]):
        hint = "set another: sources: [hf=https://…]; see `provision mirrors list`"
        evidence = "\n".join(lines)
        if not fact["needed"]:
            return warned("no-source-serves", "no source sends bytes; every model is here", evidence=evidence, hint=hint)
        return failed("no-source-serves", "no source sends a model's bytes", evidence=evidence, hint=hint)
    if dead:
        hint = f"take {dead[0]['source']} out of sources:, or set another; see `provision mirrors list`"
        return warned(
            "source-dead", f"{len(dead)} of {len(lines)} sources send nothing", evidence="\n".join(lines), hint=hint
        )
    return passed(f"{len(lines)} sources send bytes", evidence="\n".join(lines))


def _told(row: dict[str, object]) -> str:
    return f"{row['bytes']} bytes of {row['file']} from {row['host']}" if row["bytes"] else str(row["why"])


CHECKS = (
    Check("mirrors.config", judge_config, "environment", needs=("engine.environment",)),
    Check("mirrors.reachable", judge_reachable, "sources", applies=with_model),
)
