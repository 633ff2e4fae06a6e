"""Split what a model generated into its thought and its answer, for every family of thinking models we know.

One rule book, one table. Standard library only, no import from the project: the same source is piped into another
machine's bare python (3.8 or newer) beside the probes.

How a text is split
    1. The start comes from the rendered prompt, after its last assistant anchor: an open marker there means the model is
       already thinking; a closed pair, or a lone close, means thinking was switched off; otherwise the model must open.
       With no prompt at hand the family says which is usual, and if that leaves it undecided, the text does.
    2. The first close wins. No close while open: everything is thought and the state is `truncated`; never the answer.
    3. An open marker the model repeats inside a thought is dropped. After the thought is closed, only an interleaved
       family can open another.
    4. A tool call inside an open thought ends it only when no close follows. Its markers stay in the content, for whoever
       parses tool calls.
    5. Markers of other families are plain text.
    6. By ids, a marker that is one token is found by its id, looked up in the tokenizer; a marker of several tokens is
       found in the decoded text. Each stretch between markers is decoded in one piece.

Whitespace
    Newlines (CR, LF) are dropped at both outer edges of the thought and at the start of the content where a marker stands
    beside them, and around the end marker of a wrapped answer. Whitespace before an opening marker that nothing else
    precedes is dropped. Spaces, and all newlines elsewhere, stay: a text with no marker comes back as it is, and a
    truncated thought keeps its end.

Streaming
    At any chunking, the deltas joined are a prefix of the texts of `finish()`, and `finish()` equals the split of the
    whole. Held back until decided: what may be the beginning of a marker, newlines that may stand before a close, a tool
    call inside a thought, and, only where rule 1 leaves the start undecided, everything up to the first marker. Give
    `prompt_tail` and the text flows.

States
    `closed` a thought and its end; `empty` opened and closed around nothing; `truncated` no end; `absent` no thought;
    `off` no thought, and none was wanted. A model that thinks although it is switched off has a thought and says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from typing import Any

_NEWLINES = "\r\n"
_ROLE = r"\s*\w*(\s*to=\S+)?\s*"
"""What may stand in a head before its channel, with no marker of its own: who speaks, and to whom."""


@dataclass(frozen=True)
class Family:
    """How one family of models marks its thought. `open` and `close` are enough for a model nobody has met."""

    open: Sequence[str] = ()
    close: Sequence[str] = ()
    starts_open: bool = False
    """An unseen prompt is taken to have opened the thought, as this family's template does."""
    lone_close: bool = True
    """A close with no open before it ends a thought; else it is dropped."""
    reopens: bool = False
    """Interleaved: the model may think again after it has spoken."""
    tool: Sequence[str] = ()
    """Markers that begin a tool call; they stay in the content."""
    tool_follow: str = ""
    """A pattern that must follow a tool marker, where the marker alone is also what a thought may merely mention."""
    answer: Sequence[str] = ()
    """Markers that wrap the answer; they are dropped, and end a thought as a tool call does."""
    answer_end: Sequence[str] = ()
    label: str = ""
    """A role label the model writes right after the open marker."""
    spelled: bool = False
    """The markers are in the vocabulary, but are also generated in pieces."""
    blocks: Mapping[str, str] = field(default_factory=dict)
    """Typed blocks instead of a pair: marker -> start, head, body, reasoning, content, end or drop."""
    thoughts: Sequence[str] = ()
    """Names of the channels that hold a thought, where a block's head names its channel."""
    joint: str = ""
    """Put between the texts of two thinking blocks."""
    source: str = ""


@dataclass(frozen=True)
class Split:
    """Thought and answer, with no marker inside either.

    `state`: closed, empty, truncated, absent or off. `opened_by`: prompt, model or none. `close_count`: closing markers
    seen, more than one when the model repeats itself. `method`: ids or text.
    """

    reasoning: str
    content: str
    state: str
    opened_by: str = "none"
    close_count: int = 0
    method: str = "text"


@dataclass(frozen=True)
class Delta:
    """What one chunk added to each text."""

    reasoning: str = ""
    content: str = ""


# fmt: off
_THINK: dict[str, Any] = {"open": ("<think>",), "close": ("</think>",)}
_HERMES: dict[str, Any] = {**_THINK, "tool": ("<tool_call>",), "tool_follow": r"\s*(?:\{|<function[\s=])"}
_GLM: dict[str, Any] = {**_THINK, "tool": ("<tool_call>",), "tool_follow": r"\s*[\w.\-]+\s*(?:\n|<arg_key>|</tool_call>)"}
_DSML = ("<｜DSML｜function_calls>", "<｜DSML｜tool_calls>")
_DEEPSEEK: dict[str, Any] = {**_THINK, "tool": ("<｜tool▁calls▁begin｜>", *_DSML)}
_QWEN_OPEN = Family(
    **_HERMES, starts_open=True,
    source="vLLM reasoning/qwen3 (Qwen3.5, Thinking-2507: <think> is in the prompt); Ollama parsers qwen35, qwen3-thinking")
_DEEPSEEK_V3 = Family(**_DEEPSEEK, source="vLLM reasoning/deepseek_v3; V3.1 template: a lone </think> switches it off")
_MISTRAL = Family(
    open=("[THINK]",), close=("[/THINK]",), tool=("[TOOL_CALLS]",), lone_close=False,
    source="vLLM reasoning/mistral (a close with no open is dropped); Ollama parser ministral; SGLang MistralDetector")

FAMILIES: Mapping[str, Family] = {
    "qwen3": Family(**_HERMES, source="vLLM reasoning/qwen3 and its tests; chat template of Qwen3"),
    "qwen3-thinking": _QWEN_OPEN, "qwen3.5": _QWEN_OPEN,
    "deepseek-r1": Family(**_DEEPSEEK, starts_open=True, source="vLLM reasoning/deepseek_r1; SGLang DeepSeekR1Detector"),
    "deepseek-v3": _DEEPSEEK_V3, "deepseek-v3.1": _DEEPSEEK_V3,
    "glm45": Family(**_GLM, source="SGLang Glm45Detector; vLLM reasoning/glm4_moe"),
    "glm47": Family(**_GLM, starts_open=True, source="vLLM tests/reasoning/test_glm47: <think> is in the prompt"),
    "kimi-k2": Family(**_THINK, tool=("<|tool_calls_section_begin|>",), starts_open=True,
        source="vLLM reasoning/kimi_k2 (no marker at all is a thought); SGLang KimiK2Detector"),
    "kimi-vl": Family(open=("◁think▷",), close=("◁/think▷",), source="SGLang KimiDetector"),
    "minimax-m2": Family(**_THINK, tool=("<minimax:tool_call>",), tool_follow=r"\s*<invoke",
        starts_open=True, reopens=True,
        source="vLLM reasoning/minimax_m2 and its tests (<think> is not generated, a second </think> is dropped); "
        "that it thinks again after speaking is the contract's wish"),
    "minimax-m3": Family(open=("<mm:think>",), close=("</mm:think>",), tool=("]<]minimax[>[<tool_call>",),
        lone_close=False, spelled=True,
        source="vLLM reasoning/minimax_m3 and its tests (spelled in pieces; a stray close); SGLang MiniMaxM3Detector"),
    "seed-oss": Family(open=("<seed:think>",), close=("</seed:think>",), tool=("<seed:tool_call>",),
        tool_follow=r"\s*<function=", starts_open=True,
        source="vLLM tests/reasoning/test_seedoss (no marker at all is a thought); llama.cpp template ByteDance-Seed-OSS"),
    "mistral": _MISTRAL, "magistral": _MISTRAL, "ministral": _MISTRAL,
    "mistral-v11": Family(open=("<think>", "[THINK]"), close=("</think>", "[/THINK]"), tool=("[TOOL_CALLS]",),
        source="the contract's wish: no engine names it. Taken from the system prompt of Magistral-Small-2506 (tokenizer "
        "v11, <think> in plain text); that both spellings are taken is assumed"),
    "gpt-oss": Family(blocks={"<|start|>": "start", "<|channel|>": "head", "<|message|>": "body", "<|constrain|>": "drop",
        "<|end|>": "end", "<|return|>": "end", "<|call|>": "end"}, thoughts=("analysis",), joint="\n",
        source="Ollama harmony/harmonyparser and its tests; vLLM parser/harmony; llama.cpp common/parsers/gpt-oss "
        "(commentary to nobody is a preamble for the user, in all of them and SGLang)"),
    "granite-3.2": Family(open=("Here is my thought process:", "Here's my thought process:"),
        close=("Here is my response:", "Here's my response:"), lone_close=False, source="vLLM reasoning/granite"),
    "granite-4.2": Family(**_HERMES, starts_open=True, source="vLLM test_granite_thinking; SGLang GraniteThinkingDetector"),
    "hunyuan-a13b": Family(**_THINK, tool=("<tool_calls>",), tool_follow=r"\s*[\[<{]", answer=("<answer>",),
        answer_end=("</answer>",),
        source="vLLM reasoning/hunyuan_a13b and its tests; SGLang HunyuanDetector (its tool marker)"),
    "ernie45": Family(**_THINK, tool=("<tool_call>",), tool_follow=r"\s*\{", answer=("<response>",),
        answer_end=("</response>",), starts_open=True,
        source="vLLM reasoning/ernie45 and its tests; its tool marker is assumed"),
    "olmo3": Family(**_THINK, tool=("<function_calls>",), starts_open=True,
        source="vLLM reasoning/olmo3 (the markers are several tokens); Ollama parsers/olmo3_think"),
    "gemma4": Family(open=("<|channel>",), close=("<channel|>",), label="thought\n", tool=("<|tool_call>",), reopens=True,
        source="vLLM reasoning/gemma4 and its tests; Ollama parsers/gemma4 (opens again after content)"),
    "cohere": Family(open=("<|START_THINKING|>",), close=("<|END_THINKING|>",), tool=("<|START_ACTION|>",),
        starts_open=True, answer=("<|START_TEXT|>", "<|START_RESPONSE|>"),
        answer_end=("<|END_TEXT|>", "<|END_RESPONSE|>", "<|END_OF_TURN_TOKEN|>"),
        source="Ollama parsers/cohere and its tests; SGLang CohereCommand4Detector; vLLM reasoning/cohere_command"),
    "nemotron3": Family(**_HERMES, starts_open=True, source="Ollama renderers/nemotron3nano; vLLM reasoning/nemotron_v3"),
    "step3": Family(**_THINK, tool=("<｜tool_calls_begin｜>",), starts_open=True,
        source="vLLM reasoning/step3; SGLang: DeepSeekR1Detector, Step3Detector"),
    "apertus": Family(open=("<|inner_prefix|>",), close=("<|inner_suffix|>",), tool=("<|tools_prefix|>",), reopens=True,
        source="vLLM reasoning/apertus and its tests; SGLang Apertus2509Detector (several blocks)"),
    "cogito": Family(**_DEEPSEEK, source="Ollama parsers/cogito and renderers/cogito (opened on request only)"),
    "inkling": Family(blocks={"<|message_model|>": "start", "<|content_thinking|>": "reasoning",
        "<|content_text|>": "content", "<|content_invoke_tool_json|>": "content",
        "<|content_invoke_tool_text|>": "content", "<|content_image|>": "head", "<|content_audio_input|>": "head",
        "<|end_message|>": "end", "<|content_model_end_sampling|>": "end"},
        source="SGLang InklingDetector and parser/inkling_tokenizer"),
}
"""The known families by name; every row carries its source."""

_ANCHORS = (
    "<|im_start|>assistant", "<｜Assistant｜>", "<|assistant|>", "<|im_assistant|>", "]~b]ai", "<seed:bos>assistant",
    "[/INST]", "<|start|>assistant", "<|start_of_role|>assistant<|end_of_role|>", "<|extra_0|>", "<|turn>model",
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>", "<|BOT|>", "<|assistant_start|>", "<|message_model|>",
    "<|start_header_id|>assistant<|end_header_id|>", "<start_of_turn>model",
)

# First row whose words are all in the chat template wins: the most telling first.
_SIGNS = (
    ("gemma4", ("<|channel>",)), ("gpt-oss", ("<|channel|>", "<|message|>")), ("inkling", ("<|content_thinking|>",)),
    ("apertus", ("<|inner_prefix|>",)), ("kimi-vl", ("◁think▷",)), ("seed-oss", ("seed:think",)),
    ("minimax-m3", ("mm:think>",)), ("cohere", ("<|START_THINKING|>",)), ("mistral", ("[THINK]",)),
    ("mistral-v11", ("[INST]", "<think>")), ("granite-3.2", ("Here is my thought process:",)),
    ("granite-4.2", ("truncate_history_thinking", "defer_loading")), ("nemotron3", ("truncate_history_thinking",)),
    ("cogito", ("Enable deep thinking subroutine",)), ("minimax-m2", ("<minimax:tool_call>",)),
    ("minimax-m2", ("]~b]", "<think>")), ("kimi-k2", ("<|im_middle|>", "think>")),
    ("hunyuan-a13b", ("<answer>", "<think>")), ("ernie45", ("<response>", "</think>")), ("step3", ("<|BOT|>", "think>")),
    ("step3", ("steptml",)), ("glm47", ("[gMASK]", "clear_thinking")), ("glm45", ("[gMASK]", "think>")),
    ("deepseek-v3", ("<｜Assistant｜>", "if thinking")), ("deepseek-v3", ("<｜Assistant｜>", "not thinking")),
    ("deepseek-r1", ("<｜Assistant｜>", "think>")), ("olmo3", ("<functions>", "<think>")),
)
# fmt: on


def split_text(
    text: str, *, family: str | Family = "qwen3", prompt_tail: str = "", thinking_requested: bool | None = None
) -> Split:
    """Return thought and answer of a decoded text. ValueError for a family that is not in the table.

    Decode with special tokens kept where the markers are special, or they are gone before they can be seen.
    `prompt_tail` is the end of the rendered prompt, from the last assistant anchor on or more; "" is unknown.
    """
    splitter = Splitter(family, prompt_tail, thinking_requested)
    splitter.feed(text)
    return splitter.finish()


def split_ids(
    ids: Iterable[int],
    *,
    tokenizer: Any,
    prompt_ids: Iterable[int] = (),
    prompt_tail: str = "",
    family: str | Family = "qwen3",
    thinking_requested: bool | None = None,
) -> Split:
    """Return thought and answer of the generated ids, the prompt not among them.

    `tokenizer` has `decode(ids, skip_special_tokens=)` and `convert_tokens_to_ids(token)`. Special tokens that are no
    marker are left out of both texts. Without a `prompt_tail`, `prompt_ids` are decoded for it.
    """
    family = _resolve(family)
    tail = prompt_tail or tokenizer.decode(list(map(int, prompt_ids)), skip_special_tokens=False)
    machine = _machine(family, tail, thinking_requested)
    known = _marker_ids(tokenizer, machine.kinds)
    in_text = [marker for marker in machine.kinds if family.spelled or marker not in known.values()]
    for is_marker, run in groupby(map(int, ids), known.__contains__):
        if is_marker:
            machine.take((known[token], True) for token in run)
        else:
            text = tokenizer.decode(list(run), skip_special_tokens=True)
            machine.take(_Marks(in_text).feed(text, last=True))
    ending = {*family.close, *family.blocks}
    return machine.finish("text" if ending.isdisjoint(known.values()) else "ids")


def _marker_ids(tokenizer: Any, markers: Iterable[str]) -> dict[int, str]:
    """Return the markers that are one token. The id is decoded again, as an unknown word has an id of its own."""
    known = {}
    for marker in markers:
        try:
            token = tokenizer.convert_tokens_to_ids(marker)
        except KeyError:
            continue
        if isinstance(token, int) and token >= 0 and tokenizer.decode([token], skip_special_tokens=False).strip() == marker:
            known[token] = marker
    return known


class Splitter:
    """Splits a text while it is generated; one per generation. See the module's word on streaming."""

    def __init__(
        self, family: str | Family = "qwen3", prompt_tail: str = "", thinking_requested: bool | None = None
    ) -> None:
        self._machine = _machine(_resolve(family), prompt_tail, thinking_requested)
        self._marks = _Marks(self._machine.kinds)
        self._split: Split | None = None

    def feed(self, chunk: str) -> Delta:
        """Return what became certain with this chunk. ValueError after `finish`."""
        if self._split is not None:
            raise ValueError("this splitter has finished: use a new one for another generation")
        self._machine.take(self._marks.feed(chunk))
        return self._machine.out.delta()

    def finish(self) -> Split:
        """Return the whole, with what was held back; the same again when asked again."""
        if self._split is None:
            self._machine.take(self._marks.feed("", last=True))
            self._split = self._machine.finish("text")
        return self._split


def detect_family(chat_template: str, vocabulary: Iterable[str] | Mapping[str, int]) -> tuple[str, str]:
    """Return a family's name and why: from the chat template, else from markers in the vocabulary.

    Where neither says anything the name is "qwen3", the plain pair, and the reason says that it is assumed.
    """
    for name, words in _SIGNS:
        if all(word in chat_template for word in words):
            return name, "the chat template has " + " and ".join(words)
    if "think>" in chat_template:
        return _plain_pair(chat_template)
    known = set(vocabulary)
    for name, family in FAMILIES.items():
        markers = (*family.open, *family.close) or tuple(family.blocks)
        if known.issuperset(markers):
            return name, f"the chat template names no marker; the vocabulary has {markers[0]}"
    return "qwen3", "no known marker in the chat template or the vocabulary: the pair <think> </think> is assumed"


def _plain_pair(chat_template: str) -> tuple[str, str]:
    """Tell those with the same markers apart by what their template ends with when it asks for an answer."""
    ending = chat_template.rpartition("add_generation_prompt")[2]
    opens = "<think>" in re.sub(r"<think>(?:\\n|\s)*</think>", "", ending)
    if not opens:
        return "qwen3", "the chat template has think markers and leaves it to the model to open them"
    if "enable_thinking" in chat_template:
        return "qwen3.5", "the chat template opens <think> in the prompt unless enable_thinking is false"
    return "qwen3-thinking", "the chat template always opens <think> in the prompt"


def _resolve(family: str | Family) -> Family:
    if isinstance(family, str) and family not in FAMILIES:
        raise ValueError(f"no thinking family is called {family!r}; known: {', '.join(sorted(FAMILIES))}")
    return FAMILIES[family] if isinstance(family, str) else family


def _machine(family: Family, prompt_tail: str, requested: bool | None) -> _Machine:
    return (_Blocks if family.blocks else _Tags)(family, prompt_tail, requested)


def _after_anchor(prompt_tail: str) -> str | None:
    """Return what the prompt says in the assistant's place, None where no anchor is in sight."""
    ends = [at + len(anchor) for anchor in _ANCHORS for at in [prompt_tail.rfind(anchor)] if at >= 0]
    return prompt_tail[max(ends) :] if ends else None


class _Marks:
    """Finds markers in a text that comes in pieces, the longest where several fit; holds back less than one marker."""

    def __init__(self, markers: Iterable[str]) -> None:
        ordered = sorted(filter(None, markers), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered)) or r"(?!)")
        self._begins = {marker[:length] for marker in ordered for length in range(1, len(marker))}
        self._reach = len(ordered[0]) - 1 if ordered else 0
        self._held = ""

    def feed(self, chunk: str, last: bool = False) -> list[tuple[str, bool]]:
        """Return the pieces that are certain, each with whether it is a marker."""
        text = self._held + chunk
        limit = len(text) if last else self._undecided(text)
        pieces, at = [], 0
        for match in self._pattern.finditer(text):
            if match.start() >= limit:
                break
            pieces += [(text[at : match.start()], False), (match.group(), True)]
            at = match.end()
        pieces.append((text[at : max(at, limit)], False))
        self._held = text[max(at, limit) :]
        return [piece for piece in pieces if piece[0]]

    def _undecided(self, text: str) -> int:
        places = range(max(0, len(text) - self._reach), len(text))
        return next((at for at in places if text[at] in self._begins and text[at:] in self._begins), len(text))


class _Out:
    """The two texts as they grow, newlines at their edges held back until it is known what stands beside them."""

    def __init__(self, wrapped: bool) -> None:
        self.reasoning: list[str] = []
        self.content: list[str] = []
        self.beside_marker = False
        self._wrapped = wrapped
        self._thought_tail: list[str] = []
        self._content_tail: list[str] = []
        self._ended = False
        self._sent = [0, 0]

    def think(self, text: str) -> None:
        _grow(self.reasoning, self._thought_tail, text if self.reasoning else text.lstrip(_NEWLINES))

    def say(self, text: str) -> None:
        if self._ended or (self.beside_marker and not self.content):
            text = text.lstrip(_NEWLINES)
        if not text:
            return
        self._ended = False
        if self._wrapped:
            _grow(self.content, self._content_tail, text)
        else:
            self.content.append(text)

    def end_answer(self) -> None:
        self._content_tail.clear()
        self._ended = True

    def delta(self) -> Delta:
        reasoning, content = self._sent
        self._sent = [len(self.reasoning), len(self.content)]
        return Delta("".join(self.reasoning[reasoning:]), "".join(self.content[content:]))

    def finish(self, truncated: bool) -> tuple[str, str]:
        if truncated:
            self.reasoning += self._thought_tail
        self.content += self._content_tail
        return "".join(self.reasoning), "".join(self.content)


def _grow(sure: list[str], tail: list[str], text: str) -> None:
    body = text.rstrip(_NEWLINES)
    if body:
        sure += tail
        sure.append(body)
        tail.clear()
    if len(body) < len(text):
        tail.append(text[len(body) :])


class _Machine:
    """What both ways of marking a thought have in common: pieces go in, texts come out, and a state at the end."""

    def __init__(self, family: Family, kinds: dict[str, str]) -> None:
        self._family = family
        self.kinds = kinds
        self.out = _Out(bool(family.answer_end))
        self._held: list[str] = []
        self._opened_by = "none"
        self._closes = 0
        self._off = False

    def take(self, pieces: Iterable[tuple[str, bool]]) -> None:
        for piece, is_marker in pieces:
            if is_marker:
                self.out.beside_marker = True
                self._mark(self.kinds[piece], piece)
            else:
                self._text(piece)

    def _text(self, text: str) -> None:
        raise NotImplementedError

    def _mark(self, kind: str, marker: str) -> None:
        raise NotImplementedError

    def _settle(self) -> bool:
        """Let go of what was held back, as no more comes; return whether the thought was cut off."""
        raise NotImplementedError

    def finish(self, method: str) -> Split:
        truncated = self._settle()
        reasoning, content = self.out.finish(truncated)
        if truncated:
            state = "truncated"
        elif self._opened_by == "none":
            state = "off" if self._off else "absent"
        else:
            state = "closed" if reasoning.strip() else "empty"
        return Split(reasoning, content, state, self._opened_by, self._closes, method)


class _Tags(_Machine):
    """A thought between an open and a close marker. Phases: undecided, before, open, tool (in doubt), after."""

    def __init__(self, family: Family, prompt_tail: str, requested: bool | None) -> None:
        order = ("answer_end", "answer", "tool", "close", "open")
        super().__init__(family, {marker: kind for kind in order for marker in getattr(family, kind)})
        self._calls: list[tuple[int, int]] = []
        self._label, self._wrapped_up = "", False
        self._assumed = not prompt_tail
        self._phase, self._off = self._start(prompt_tail, requested)
        if self._phase == "open":
            self._open("prompt")

    def _start(self, prompt_tail: str, requested: bool | None) -> tuple[str, bool]:
        family = self._family
        told = self._told(prompt_tail)
        if told == "close":
            return "before", True
        if told == "open" or (not prompt_tail and family.starts_open and requested is not False):
            return "open", False
        doubtful = not prompt_tail or requested or family.starts_open
        return "undecided" if family.lone_close and doubtful else "before", requested is False

    def _told(self, prompt_tail: str) -> str:
        """Return which marker the prompt left last in the assistant's place: open, close or neither."""
        said = _after_anchor(prompt_tail)
        if said is None:
            ending = prompt_tail.rstrip()
            said = next((m for m in self.kinds if ending.endswith(m)), "")
        kinds = [self.kinds[piece] for piece, is_marker in _Marks(self.kinds).feed(said, last=True) if is_marker]
        return next((kind for kind in reversed(kinds) if kind in ("open", "close")), "")

    def _text(self, text: str) -> None:
        if self._phase == "open":
            self._think(text)
        elif self._phase == "after":
            self.out.say(text)
        elif self._phase == "before" and (text.strip() or self.out.content):
            self._release(self.out.say)
            self.out.say(text)
        else:
            self._held.append(text)

    def _mark(self, kind: str, marker: str) -> None:
        if kind == "open" and self._phase in ("open", "tool") and marker in self._family.close:
            kind = "close"
        if kind == "close":
            self._closes += 1
        getattr(self, "_in_" + self._phase)(kind, marker)

    def _in_undecided(self, kind: str, marker: str) -> None:
        if kind == "close":
            self._opened_by = "prompt"
            self._release(self.out.think)
            self._phase = "after"
        elif kind == "tool":
            self._held.append(marker)
        elif kind == "answer":
            self._speak()
            self._phase = "before"
        else:
            self._in_before(kind, marker)

    def _in_before(self, kind: str, marker: str) -> None:
        if kind == "open":
            self._speak()
            self._open("model")
        elif kind == "tool":
            self._release(self.out.say)
        self._aside(kind, marker)

    def _in_open(self, kind: str, marker: str) -> None:
        if kind == "close":
            self._settle_label()
            self._phase = "after"
        elif kind in ("tool", "answer"):
            self._settle_label()
            self._phase = "tool"
            self._in_tool(kind, marker)
        elif kind == "open" and self._assumed and not self.out.reasoning:
            self._opened_by = "model"

    def _in_tool(self, kind: str, marker: str) -> None:
        if kind == "close":
            self._release(self.out.think)
            self._phase, self._wrapped_up = "after", False
            self._calls.clear()
        elif kind in ("tool", "answer"):
            self._calls.append((len(self._held), len(self._held) + (kind == "tool")))
            self._held += [marker] if kind == "tool" else []
        elif kind == "answer_end":
            self._wrapped_up = True

    def _in_after(self, kind: str, marker: str) -> None:
        if kind == "open" and self._family.reopens:
            self._open("model")
        self._aside(kind, marker)

    def _aside(self, kind: str, marker: str) -> None:
        if kind == "tool":
            self.out.say(marker)
        elif kind == "answer_end":
            self.out.end_answer()

    def _open(self, by: str) -> None:
        self._phase, self._label = "open", self._family.label
        self._opened_by = by if self._opened_by == "none" else self._opened_by

    def _think(self, text: str) -> None:
        """Drop the label, which may come in pieces, and take the rest."""
        if self._label:
            self._held.append(text)
            text = "".join(self._held)
            if len(text) < len(self._label) and self._label.startswith(text):
                return
            self._held.clear()
            text = text[len(self._label) :] if text.startswith(self._label) else text
            self._label = ""
        self.out.think(text)

    def _settle_label(self) -> None:
        if "".join(self._held).rstrip() == self._label.rstrip():
            self._held.clear()
        self._label = ""
        self._release(self.out.think)

    def _speak(self) -> None:
        """Whitespace alone before an opening marker is dropped."""
        if "".join(self._held).strip():
            self._release(self.out.say)
        self._held.clear()

    def _release(self, into: Any) -> None:
        if self._held:
            into("".join(self._held))
            self._held.clear()

    def _settle(self) -> bool:
        if self._phase == "tool":
            self._end_at_call()
        if self._phase == "open":
            self._settle_label()
        self._release(self.out.say)
        return self._phase == "open"

    def _end_at_call(self) -> None:
        """No close came: the first genuine call ends the thought; else it was only spoken of, and all is thought."""
        after = [0, *accumulate(map(len, self._held))]
        text = "".join(self._held)
        follow = re.compile(self._family.tool_follow)
        calls = [begin for begin, end in self._calls if begin == end or follow.match(text, after[end])]
        at = after[calls[0]] if calls else len(text)
        self._held.clear()
        self.out.think(text[:at])
        self._phase = "after" if calls else "open"
        self.out.say(text[at:])
        if calls and self._wrapped_up:
            self.out.end_answer()


class _Blocks(_Machine):
    """Blocks of a kind each, as in harmony: a head that may name a channel, a body, an end.

    Zones: head, reasoning, content. `_headed` says that a marker began the head, so that it is structure and no text.
    """

    def __init__(self, family: Family, prompt_tail: str, requested: bool | None) -> None:
        super().__init__(family, dict(family.blocks))
        self._off = requested is False
        self._zone, self._headed = "head", False
        self.take(_Marks(self.kinds).feed(_after_anchor(prompt_tail) or "", last=True))
        self.out = _Out(wrapped=False)
        self._opened_by = "prompt" if self._zone == "reasoning" else "none"
        self._closes = 0
        if not self._headed:
            self._held.clear()

    def _text(self, text: str) -> None:
        if self._zone == "head":
            self._held.append(text)
        else:
            (self.out.think if self._zone == "reasoning" else self.out.say)(text)

    def _mark(self, kind: str, marker: str) -> None:
        if kind == "end":
            self._closes += self._zone == "reasoning"
            self._leave()
            self._speak()
        elif kind in ("reasoning", "content"):
            self._enter(kind)
        elif kind == "body":
            if self._zone == "head":
                self._enter(self._route("".join(self._held)))
        else:
            self._in_head(kind, marker)

    def _in_head(self, kind: str, marker: str) -> None:
        if kind != "drop":
            self._leave()
        if kind == "start" or not (self._headed or re.fullmatch(_ROLE, "".join(self._held))):
            self._speak()
        if self._zone == "head":
            self._held.append(marker)
            self._headed = True

    def _route(self, head: str) -> str:
        """A message to a tool is no thought, whatever its channel; of two channels in one head the last one counts."""
        before, *_, channel = re.split(r"<\|channel\|>\s*", head) if "<|channel|>" in head else (head, "")
        thinks = re.split(r"\W", channel)[0] in self._family.thoughts
        return "reasoning" if thinks and not re.search(r"\bto=\S", before + channel) else "content"

    def _enter(self, zone: str) -> None:
        self._held.clear()
        self._zone, self._headed = zone, False
        if zone == "reasoning":
            self._opened_by = "model" if self._opened_by == "none" else self._opened_by
            if self.out.reasoning and self._family.joint:
                self.out.think(self._family.joint)

    def _leave(self) -> None:
        if self._zone != "head":
            self._zone, self._headed = "head", False

    def _speak(self) -> None:
        """Text where a head should be, with no head's marker, is plain text."""
        text = "".join(self._held)
        if text.strip() and not self._headed:
            self.out.say(text)
        self._held.clear()
        self._headed = False

    def _settle(self) -> bool:
        self._speak()
        return self._zone == "reasoning"
