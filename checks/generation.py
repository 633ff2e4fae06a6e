"""The short generation: it ends, it is finite, it thinks when asked and does not when not, and its parts are told apart."""

from __future__ import annotations

from collections import Counter
from typing import Any

from checks.interface import About, Check, Fact, Judgement, always, failed, passed, skipped, unknown, warned, with_model

ONE_CHARACTER = 0.8  # share of one character in a text that is no text any more: `!!!!` (QwenLM/Qwen3#761)
LEAST_TOKENS = 8  # below this a share says nothing
TINY = 10_000_000  # parameters: below this a model has learnt shapes, not facts (proposal)
FAMILY = (
    "python -c 'from checks.thinking import FAMILIES; print(*FAMILIES)'   # name yours: generation.family in provision.yaml"
)
SWITCH = "tokenizer.apply_chat_template(…, enable_thinking=False)   # the template of the model's own repository"
RERUN = "provision models verify; then: provision check --only generation.basic -v"


def judge_basic(fact: Fact, about: About) -> Judgement:
    """Finite logits, some tokens, and not one character over and over."""
    if fact.error:
        return failed("generation-failed", "generate() does not come to an end", observed=fact.error["message"], hint=RERUN)
    if not fact["finite"]:
        return failed("logits-not-finite", "the first step's logits hold NaN", hint='load with dtype="float32" and compare')
    text = str(fact["text"]).strip()
    if not text:
        return failed("generation-empty", "the model said nothing", observed=f"{fact['tokens']} tokens", hint=RERUN)
    letter, times = Counter(text).most_common(1)[0]
    if fact["tokens"] >= LEAST_TOKENS and times > ONE_CHARACTER * len(text):
        return failed(
            "generation-degenerate",
            f"the model says {letter!r} over and over",
            observed=text[:80],
            hint='half-precision overflow, as a rule: load with dtype="bfloat16" or "float32"',
        )
    rate = fact["tokens_per_second"]
    return passed(f"{fact['tokens']} tokens, {rate:.0f}/s", observed=f"first after {fact['ttft_seconds']:.2f} s")


def judge_split(fact: Fact, about: About) -> Judgement:
    """Closed with both parts non-empty passes; a lost answer fails; everything between warns and says what to do."""
    if fact.error:
        return failed("split-failed", "the answer could not be split", observed=fact.error["message"], hint=FAMILY)
    reasoning, content, state = fact["reasoning"].strip(), fact["content"].strip(), fact["state"]
    told = f"{len(reasoning)} characters of thought, {len(content)} of answer ({fact['family']}, {fact['method']})"
    if state == "closed" and content:
        if reasoning:
            return passed(told, observed=state)
        return warned("thinking-empty", "the thought is empty though it was asked for", observed=state, hint=FAMILY)
    if state == "truncated" and _ended(fact, about):
        return failed(
            "thought-unfinished",
            f"the model ended in the middle of its thought, after {fact['tokens']} tokens: there is no answer",
            expected="an end after the answer",
            observed="an end-of-turn token inside the thought",
            evidence=reasoning[-400:],
            hint="look at eos_token_id in generation_config.json, and: provision models verify",
        )
    if state == "truncated":
        budget = about.spec.generation.max_new_tokens
        return warned(
            "thinking-truncated",
            f"still thinking after {fact['tokens']} tokens: there is no answer to show",
            observed=state,
            hint=f"raise the budget: generation.max_new_tokens: {budget * 4}",
        )
    if state == "closed":
        return failed(
            "answer-lost",
            "the thought is closed and no answer follows",
            observed=state,
            evidence=reasoning[-400:],
            hint=FAMILY,
        )
    summary = "no thought though it was asked for"
    return warned("thinking-absent", summary, observed=state, evidence=content[:400], hint=FAMILY)


def _ended(fact: Fact, about: About) -> bool:
    """Whether the model itself came to an end, rather than its budget."""
    made = about.told.get("generation.basic")
    return bool(made and made.value.get("ended")) or fact.value.get("finish") == "stop"


def judge_off(fact: Fact, about: About) -> Judgement:
    """With thinking off: an answer alone."""
    if fact.error:
        summary = "generating with thinking off fails"
        return failed("thinking-off-failed", summary, observed=fact.error["message"], hint=RERUN)
    if not fact["honoured"]:
        return skipped("no-switch", "this model's chat template has no switch for thinking")
    if fact["reasoning"].strip():
        summary = "the model thinks though it was told not to"
        return failed("thinks-when-off", summary, evidence=fact["reasoning"][:400], hint=SWITCH)
    if not fact["content"].strip():
        return failed("answer-empty", "with thinking off there is no answer", observed=fact["state"], hint=FAMILY)
    return passed(f"{len(fact['content'].strip())} characters of answer, no thought")


def judge_deterministic(fact: Fact, about: About) -> Judgement:
    """Greedy twice: the same tokens."""
    if fact.error:
        return failed("generation-failed", "a second generation fails", observed=fact.error["message"], hint=RERUN)
    if not fact["compared"]:
        return unknown("nothing-compared", "there were no tokens to compare", hint=RERUN)
    if fact["same"]:
        return passed(f"the first {fact['compared']} tokens are the same twice")
    hint = "nvidia-smi -q -d ECC   # if that is clean: CUBLAS_WORKSPACE_CONFIG=:4096:8"
    return failed("not-deterministic", "greedy decoding gave other tokens the second time", hint=hint)


def judge_answer(fact: Fact, about: About) -> Judgement:
    """A question with one answer. A model may be too small for it: that warns, and never fails."""
    if fact.error:
        return warned("answer-unasked", "the question could not be asked", observed=fact.error["message"], hint=RERUN)
    told = f"{fact['asked']!r} → {fact['content'].strip()[:80]!r}"
    if fact["wanted"] in fact["content"]:
        return passed(told)
    if _is_tiny(about):
        return skipped("model-too-small", "a model this small knows no answers")
    hint = "a larger budget (generation.max_new_tokens), or a larger model"
    return warned("answer-absent", told, expected=fact["wanted"], observed=fact["content"][:400], hint=hint)


def _is_tiny(about: About) -> bool:
    loaded = about.told.get("model.loads")
    return bool(loaded and not loaded.error and loaded["parameters"] < TINY)


def summarise(facts: dict[str, Fact], prompt: str) -> dict[str, Any]:
    """Return the report's `generation{}` of what the runtime probe said; empty where it did not come that far."""
    made, parts = facts.get("generation.basic"), facts.get("generation.thinking_split")
    if not made or made.error or not parts or parts.error:
        return {}
    return {
        "prompt": prompt,
        "reasoning": parts["reasoning"],
        "content": parts["content"],
        "state": parts["state"],
        "tokens": made["tokens"],
        "tokens_per_second": made["tokens_per_second"],
        "ttft_seconds": made["ttft_seconds"],
    }


CHECKS = (
    Check(
        "generation.basic",
        judge_basic,
        "runtime",
        needs=("model.loads", "tokenizer.roundtrip", "tokenizer.chat_template"),
        applies=with_model,
        required=always,
    ),
    Check(
        "generation.thinking_split",
        judge_split,
        "runtime",
        needs=("generation.basic",),
        applies=with_model,
        required=always,
    ),
    Check("generation.thinking_off", judge_off, "runtime", needs=("generation.basic",), applies=with_model),
    Check(
        "generation.deterministic",
        judge_deterministic,
        "runtime",
        needs=("generation.basic",),
        applies=with_model,
        required=always,
    ),
    Check("generation.known_answer", judge_answer, "runtime", needs=("generation.basic",), applies=with_model),
)
