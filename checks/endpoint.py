"""A served endpoint: it answers, has the model, thinks and speaks, and keeps the two apart."""

from __future__ import annotations

from collections import Counter

from checks import generation
from checks.extending import Extension
from checks.generation import LEAST_TOKENS, ONE_CHARACTER
from checks.interface import About, Check, Fact, Judgement, always, failed, passed, skipped, unknown, warned
from checks.runner import Seen
from checks.served import Endpoint, ask
from provision.errors import nearest
from provision.findings import Status

KEY = "PROVISION_ENDPOINT_KEY"
HINTS = {
    "unauthorised": f"{KEY}=… provision check --endpoint URL",
    "model-unknown": "provision check --endpoint URL --model NAME   # a name that its /models lists",
    "web-page": "this is a page for people, or a login before it: give the address that ends in /v1",
    "not-openai": "give the address of an OpenAI-compatible server: http://HOST:8000/v1, Ollama's http://HOST:11434/v1",
    "redirected": "give the address it redirects to: a key is sent to no other than the one given",
    "host-unreachable": "is the server up? `ss -lnt` there; then the address, the firewall and the proxy",
    "connection-lost": "look at the server's own log",
    "server-error": "look at the server's own log",
    "stream-cut": "look at the server's own log, and at the time limits of the proxies between",
}
PARSER = (
    "vllm serve … --reasoning-parser NAME   # SGLang: --reasoning-parser NAME; Ollama: a model that it lists as thinking"
)


def extension(endpoint: Endpoint) -> Extension:
    """Return the checks of one endpoint with the probe that asks it, from this side."""
    return Extension(CHECKS, here={"endpoint": lambda: Seen(ask(endpoint))})


def refused(fact: Fact, what: str) -> Judgement:
    """Return what a question without a proper answer comes to: a silent server is hung, a busy one unknown."""
    error = fact.error or {}
    kind, words = error.get("type", ""), error.get("words", "")
    told = {"observed": error.get("message", ""), "evidence": words}
    if kind == "hung":
        return Judgement(Status.HUNG, "endpoint-hung", f"{what}: no answer", hint="look at the server's own log", **told)
    if kind == "rate-limited":
        return unknown("rate-limited", f"{what}: the server asks to wait", hint="the same command, later", **told)
    return failed(
        f"endpoint-{kind}", f"{what}: {error.get('message')}", hint=HINTS.get(kind, HINTS["server-error"]), **told
    )


def judge_reachable(fact: Fact, about: About) -> Judgement:
    """Something that speaks the protocol is there."""
    if fact.error:
        return refused(fact, "the endpoint")
    if not fact["listed"]:
        return passed(f"{fact['host']} answers, and lists no models")
    return passed(f"{fact['host']} serves {len(fact['models'])} models", observed=", ".join(fact["models"][:20]))


def judge_model(fact: Fact, about: About) -> Judgement:
    """The model that was asked for is served; without a wish, the first one is taken."""
    wanted, served = fact["wanted"], fact["served"]
    if not fact["chosen"]:
        return failed(
            "no-model-served",
            "no model is listed, and none was named",
            observed=f"{len(served)} models",
            hint=HINTS["model-unknown"],
        )
    if wanted and served and wanted not in served:
        near = nearest(wanted, served)
        hint = f"provision check --endpoint URL --model {near or served[0]}"
        listed = ", ".join(served[:20])
        return failed("model-not-served", f"{wanted} is not served", expected=wanted, observed=listed, hint=hint)
    return passed(f"{fact['chosen']}" + ("" if wanted else ", the first that is listed"), observed=fact["chosen"])


def judge_answers(fact: Fact, about: About) -> Judgement:
    """One token, by a real call."""
    if fact.error:
        return refused(fact, "a call for one token")
    return passed(f"one token in {fact.seconds:.2f} s", observed=f"finish_reason {fact['finish']}")


def judge_generates(fact: Fact, about: About) -> Judgement:
    """A short generation streams to its end, and is not empty nor one character over and over."""
    if fact.error:
        return refused(fact, "a short generation")
    text = str(fact["text"]).strip()
    if not text:
        hint = "look at the server's own log; then: curl URL/chat/completions with the same prompt"
        return failed("generation-empty", "the model said nothing", observed=f"{fact['tokens']} tokens", hint=hint)
    letter, times = Counter(text).most_common(1)[0]
    if fact["tokens"] >= LEAST_TOKENS and times > ONE_CHARACTER * len(text):
        hint = "half-precision overflow, as a rule: serve with --dtype bfloat16"
        words = f"the model says {letter!r} over and over"
        return failed("generation-degenerate", words, observed=text[:80], hint=hint)
    return passed(
        f"{fact['tokens']} tokens, counted by the {fact['counted_by']}", observed=f"finish_reason {fact['finish']}"
    )


def judge_split(fact: Fact, about: About) -> Judgement:
    """By the same rules as a model of our own; and the server must have parted the two itself."""
    if fact["left"] and fact["state"] != "truncated":
        where = f"beside {fact['field']}" if fact["field"] != "content" else "whole"
        summary = f"the server leaves the thought's markers in the content ({where})"
        return warned("thought-in-content", summary, observed=fact["content"][:200], hint=PARSER)
    if fact["state"] in ("absent", "off") and fact["content"].strip():
        return skipped("no-thought", "an answer without a thought: this model has none, or its server hides it")
    return generation.judge_split(fact, about)


def judge_off(fact: Fact, about: About) -> Judgement:
    """With thinking off an answer alone, where the server knows the switch."""
    if fact.error:
        return refused(fact, "thinking off")
    if not fact["honoured"]:
        return skipped("no-switch", "the server refuses chat_template_kwargs: thinking cannot be switched from here")
    if fact["reasoning"].strip():
        hint = "the chat template has no switch, or the server ignores chat_template_kwargs"
        words = "the model thinks though it was told not to"
        return warned("thinks-when-off", words, evidence=fact["reasoning"][:400], hint=hint)
    if not fact["content"].strip():
        hint = (
            "a reasoning parser that takes the whole answer for a thought: upgrade the server, or choose the right parser"
        )
        return failed("answer-empty", "with thinking off there is no answer", observed=fact["finish"], hint=hint)
    return passed(f"{len(fact['content'].strip())} characters of answer, no thought")


def judge_speed(fact: Fact, about: About) -> Judgement:
    """Time to the first token and tokens a second, measured and not judged: nothing is known of the machine behind."""
    if fact.error or not fact["tokens_per_second"] or fact["ttft_seconds"] is None:
        return unknown(
            "not-measured", "there was no generation to time", hint="provision check --endpoint URL --model NAME"
        )
    told = f"{fact['tokens_per_second']:.1f} tokens/s, first after {fact['ttft_seconds']:.3f} s; no baseline to judge by"
    return passed(told, observed=f"{fact['tokens_per_second']:.1f} tokens/s", code="no-baseline")


SPLIT, MADE = "generation.thinking_split", "generation.basic"
CHECKS = (
    Check("endpoint.reachable", judge_reachable, "endpoint", required=always),
    Check("endpoint.model", judge_model, "endpoint", needs=("endpoint.reachable",), required=always),
    Check("endpoint.answers", judge_answers, "endpoint", needs=("endpoint.model",), required=always),
    Check("endpoint.generates", judge_generates, "endpoint", fact=MADE, needs=("endpoint.answers",), required=always),
    Check("endpoint.thinking_split", judge_split, "endpoint", fact=SPLIT, needs=("endpoint.generates",)),
    Check("endpoint.thinking_off", judge_off, "endpoint", needs=("endpoint.generates",)),
    Check("endpoint.speed", judge_speed, "endpoint", fact=MADE, needs=("endpoint.generates",)),
)
