"""Mirrors: the settings in force are those that are wanted, and each hub really sends a model's bytes."""

from __future__ import annotations

from checks.interface import About, Check, Fact, Judgement, failed, passed, skipped, unknown, warned, with_model
from checks.thresholds import CLOCK_SKEW_WARN
from provision.facts.python import PipState, parse_pip
from provision.mirrors.veil import veil

SOURCES = "set another: sources: [hf=https://…]; see `provision mirrors list`"


def judge_config(fact: Fact, about: About) -> Judgement:
    """What pip itself says, against the spec."""
    if fact.error or fact["pip"] is None:
        why = fact.error["message"] if fact.error else "`pip config list` does not answer"
        return unknown("pip-unread", "pip's settings cannot be read here", observed=why, hint="python3 -m pip config list")
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
        return unknown("sources-untried", "the sources could not be tried", observed=fact.error["message"], hint=SOURCES)
    lines = [f"{row['source']} ({row['model']}): {_told(row)}" for row in fact["tried"]]
    dead = [row for row in fact["tried"] if not row["bytes"]]
    if not fact["tried"]:
        return unknown("sources-untried", "there is no source to try", hint=SOURCES)
    if len(dead) == len(fact["tried"]):
        evidence = "\n".join(lines)
        if not fact["needed"]:
            return warned("no-source-serves", "no source sends bytes; every model is here", evidence=evidence, hint=SOURCES)
        return failed("no-source-serves", "no source sends a model's bytes", evidence=evidence, hint=SOURCES)
    if dead:
        hint = f"take {dead[0]['source']} out of sources:, or set another; see `provision mirrors list`"
        return warned(
            "source-dead", f"{len(dead)} of {len(lines)} sources send nothing", evidence="\n".join(lines), hint=hint
        )
    return passed(f"{len(lines)} sources send bytes", evidence="\n".join(lines))


def judge_clock(fact: Fact, about: About) -> Judgement:
    """This machine's clock beside the sources'. A cache may send an old date, so the source that agrees best counts."""
    if fact.error:
        return unknown(
            "clock-uncompared", "no source could be asked for its time", observed=fact.error["message"], hint="date"
        )
    told = {row["host"]: row["skew"] for row in fact["tried"] if row.get("skew") is not None}
    dated = [row["why"] for row in fact["tried"] if "[tls-date]" in row["why"]]
    if dated and not told:
        hint = "date   # if that is wrong: sudo timedatectl set-ntp true"
        return warned("clock-or-certificate", str(dated[0]).partition(" [")[0], evidence="\n".join(dated), hint=hint)
    if not told:
        return skipped("no-server-date", "no server that was asked told its time")
    host, skew = min(told.items(), key=lambda pair: abs(pair[1]))
    if abs(skew) > CLOCK_SKEW_WARN.value:
        return warned(
            "clock-skewed",
            f"this machine's clock is {abs(skew):,.0f} s {'ahead of' if skew > 0 else 'behind'} that of {host}",
            expected=f"within {CLOCK_SKEW_WARN.value} s: certificates and signed addresses hold for a time",
            observed=f"{skew:+.0f} s",
            hint="sudo timedatectl set-ntp true   # or: sudo date -s …",
        )
    return passed(f"within {abs(skew):.0f} s of {host}", observed=f"{skew:+.0f} s")


def _told(row: dict[str, object]) -> str:
    return f"{row['bytes']} bytes of {row['file']} from {row['host']}" if row["bytes"] else str(row["why"])


CHECKS = (
    Check("mirrors.config", judge_config, "environment", needs=("engine.environment",)),
    Check("mirrors.clock", judge_clock, "sources", fact="mirrors.reachable", applies=with_model),
    Check("mirrors.reachable", judge_reachable, "sources", applies=with_model),
)
