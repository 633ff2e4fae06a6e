"""How fast: measured always, judged only against a baseline that has a source."""

from __future__ import annotations

import re

from checks.interface import (
    About,
    Check,
    Fact,
    Judgement,
    always,
    failed,
    on_gpu,
    passed,
    skipped,
    unknown,
    warned,
    with_model,
)
from checks.thresholds import GEMM_SPREAD, HEAT_BITS, SLOWED_BITS, SLOWER_WARN

ACS = "turn ACS and the IOMMU off in the firmware, or: export NCCL_P2P_DISABLE=1 (NCCL, troubleshooting)"
AGAIN = "provision check --only generation.basic -v"
ECC = "nvidia-smi -q -d ECC,ROW_REMAPPER,PERFORMANCE"


def against_baseline(about: About, check: str, figure: float, told: str, observed: str) -> Judgement:
    """Compare with what was measured before; where nothing was, say so: never fail for want of a number."""
    before = about.baseline.get(check)
    if not before:
        return passed(f"{told}; no baseline to judge by", observed=observed, code="no-baseline")
    share = 100 * figure / before
    said = f"{told}; {share:.0f} % of the baseline's {before:g}"
    if share < SLOWER_WARN.value:
        return warned(
            "slower-than-baseline",
            said,
            expected=f"≥ {SLOWER_WARN.value} % of {before:g}",
            observed=observed,
            hint="nvidia-smi -q -d PERFORMANCE,CLOCK,TEMPERATURE   # and who else is at work: nvidia-smi, top",
        )
    return passed(said, observed=observed)


def judge_decode(fact: Fact, about: About) -> Judgement:
    """Tokens a second of the generation that was made anyway, and its share of what the memory could carry."""
    if fact.error:
        return unknown("not-measured", "there was no generation to time", observed=fact.error["message"], hint=AGAIN)
    rate = fact["tokens_per_second"]
    if not rate:
        return unknown("not-measured", "the generation gave no time to measure", hint=AGAIN)
    first, share = fact["ttft_seconds"], 100 * fact["share"]
    told = f"{rate:.1f} tokens/s, first after {first:.3f} s, {share:.2g} % of the memory's limit"
    return against_baseline(about, "performance.decode", rate, told, f"{rate:.1f} tokens/s")


def judge_gemm(fact: Fact, about: About) -> Judgement:
    """A bfloat16 matmul's rate on each GPU; none at all fails, and so does a GPU far behind its like."""
    if fact.error:
        return failed("gemm-failed", "a large bfloat16 matmul does not run", observed=fact.error["message"], hint=ECC)
    rates = fact["tflops"]
    if min(rates) <= 0:
        return failed("gemm-zero", "a GPU computes nothing", observed=str(rates), hint=ECC)
    told = f"{', '.join(f'{rate:.0f}' for rate in rates)} TFLOP/s bfloat16"
    alike = len({card.name for card in about.facts.gpu.gpus}) == 1
    if alike and min(rates) < GEMM_SPREAD.value / 100 * max(rates):
        slow = rates.index(min(rates))
        return failed(
            "gemm-uneven",
            f"GPU {slow} is far behind its like: {told}",
            expected=f"≥ {GEMM_SPREAD.value} % of {max(rates):.0f}",
            observed=f"{min(rates):.1f}",
            hint=f"nvidia-smi -i {slow} -q -d PERFORMANCE,CLOCK,TEMPERATURE,POWER",
        )
    return against_baseline(about, "performance.gemm", min(rates), told, f"{min(rates):.1f} TFLOP/s")


def judge_copy(fact: Fact, about: About) -> Judgement:
    """Pinned memory to each GPU and back; a byte that changed on the way fails."""
    if fact.error:
        return failed("copy-failed", "copying to a GPU and back fails", observed=fact.error["message"], hint=ECC)
    if not all(fact["intact"]):
        return failed("copy-wrong", "bytes change on the way to a GPU and back", observed=str(fact["intact"]), hint=ECC)
    slowest = min((*fact["to_device"], *fact["from_device"]))
    told = f"to the GPU {min(fact['to_device']):.1f} GB/s, back {min(fact['from_device']):.1f} GB/s"
    return against_baseline(about, "performance.copy", slowest, told, f"{slowest:.1f} GB/s")


def judge_clocks(fact: Fact, about: About) -> Judgement:
    """What slowed the GPUs while they worked."""
    rows = fact.value.get("load")
    if fact.error or not rows:
        return _unseen(fact)
    masks = [_number(row["clocks_throttle_reasons.active"]) for row in rows]
    evidence = "\n".join(", ".join(f"{name} {value}" for name, value in row.items()) for row in rows)
    if any(mask & SLOWED_BITS for mask in masks):
        hint = "nvidia-smi -q -d TEMPERATURE,POWER   # cooling, power cables, power supply"
        return failed("slowed-under-load", "a GPU protects itself when it works", evidence=evidence, hint=hint)
    if any(mask & HEAT_BITS for mask in masks):
        hint = "nvidia-smi -q -d TEMPERATURE   # clean the filters, raise the fan"
        return warned("warm-under-load", "a GPU slows for heat when it works", evidence=evidence, hint=hint)
    clocks = ", ".join(f"{row['clocks.sm']} of {row['clocks.max.sm']} MHz" for row in rows)
    return passed(clocks, evidence=evidence)


def judge_link(fact: Fact, about: About) -> Judgement:
    """The PCIe link while the GPUs worked; at idle it sleeps, which is ordinary. A card in a virtual machine tells none."""
    rows = fact.value.get("load")
    if fact.error or not rows:
        return _unseen(fact)
    told, low = [], []
    for row in rows:
        now = (_number(row["pcie.link.gen.current"]), _number(row["pcie.link.width.current"]))
        most = (_number(row["pcie.link.gen.max"]), _number(row["pcie.link.width.max"]))
        told.append(f"Gen{now[0]} x{now[1]}")
        if now[0] < most[0] or now[1] < most[1]:
            low.append(f"{row['uuid']}: Gen{now[0]} x{now[1]} of Gen{most[0]} x{most[1]}")
    if low:
        hint = "reseat the card; look at the slot, the riser, and PCIe settings in the firmware"
        return warned("link-below-max", f"below what the card can: {low[0]}", evidence="\n".join(low), hint=hint)
    return passed(", ".join(told))


def _unseen(fact: Fact) -> Judgement:
    words = fact.error["message"] if fact.error else ""
    return unknown("load-unseen", "nvidia-smi said nothing while the GPUs worked", observed=words, hint="nvidia-smi -q")


def _number(text: str) -> int:
    """An integer, decimal or hexadecimal; what is not told counts as zero."""
    try:
        return int(text.strip(), 0)
    except ValueError:
        return 0


def several_gpus(about: About) -> Judgement | None:
    """Applies where there are two GPUs or more."""
    count = len(about.facts.gpu.gpus)
    return on_gpu(about) or (None if count > 1 else skipped("one-gpu", "fewer than two GPUs here"))


def judge_allreduce(fact: Fact, about: About) -> Judgement:
    """Every GPU ends with the sum over all of them."""
    if fact.error:
        hint = "NCCL_P2P_DISABLE=1 provision check --scope multigpu   # if that heals it: ACS or IOMMU"
        return failed("allreduce-failed", "an all-reduce over every GPU fails", observed=fact.error["message"], hint=hint)
    if not fact["right"]:
        return failed("allreduce-wrong", "an all-reduce gives a wrong sum", observed=str(fact["sums"]), hint=ACS)
    return passed(f"sum right on {fact['count']} GPUs")


def judge_peer(fact: Fact, about: About) -> Judgement:
    """Every pair of GPUs, both ways, byte for byte."""
    if fact.error:
        return failed("peer-failed", "copying between GPUs fails", observed=fact.error["message"], hint=ACS)
    broken = [f"{pair['from']} → {pair['to']}" for pair in fact["pairs"] if not pair["intact"]]
    if broken:
        return failed("peer-wrong", f"bytes change between GPUs: {', '.join(broken)}", observed=broken[0], hint=ACS)
    direct = sum(pair["direct"] for pair in fact["pairs"])
    return passed(f"{len(fact['pairs'])} copies right, {direct} of them direct")


def judge_nvlink(fact: Fact, about: About) -> Judgement:
    """Links that nvidia-smi calls inactive."""
    if fact.error or fact["code"]:
        words = fact.error["message"] if fact.error else str(fact["out"])
        summary = "nvidia-smi does not tell of NVLink"
        return unknown("nvlink-unread", summary, observed=words[:400], hint="nvidia-smi nvlink -s")
    links = re.findall(r"Link \d+: (.+)", fact["out"])
    if not links:
        return skipped("no-nvlink", "no NVLink between these GPUs")
    dead = [line for line in links if "inactive" in line.lower()]
    if dead:
        return warned(
            "nvlink-inactive",
            f"{len(dead)} of {len(links)} NVLinks are inactive",
            evidence=fact["out"],
            hint="nvidia-smi nvlink -e   # error counters; reseat the bridge, or restart the fabric manager",
        )
    return passed(f"{len(links)} NVLinks up")


CHECKS = (
    Check("performance.decode", judge_decode, "runtime", needs=("generation.basic",), applies=with_model),
    Check("performance.gemm", judge_gemm, "runtime", needs=("torch.kernel.runs",), applies=on_gpu, required=always),
    Check("performance.copy", judge_copy, "runtime", needs=("torch.kernel.runs",), applies=on_gpu, required=always),
    Check("performance.clocks", judge_clocks, "runtime", "performance.gemm", needs=("performance.gemm",), applies=on_gpu),
    Check("performance.link", judge_link, "runtime", "performance.gemm", needs=("performance.gemm",), applies=on_gpu),
    Check("multigpu.nvlink", judge_nvlink, "multigpu", needs=("torch.kernel.runs",), applies=several_gpus, late=True),
    Check(
        "multigpu.allreduce",
        judge_allreduce,
        "multigpu",
        needs=("torch.kernel.runs",),
        applies=several_gpus,
        required=always,
        late=True,
    ),
    Check(
        "multigpu.peer",
        judge_peer,
        "multigpu",
        needs=("multigpu.allreduce",),
        applies=several_gpus,
        required=always,
        late=True,
    ),
)
