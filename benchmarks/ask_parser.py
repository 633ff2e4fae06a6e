"""Runs in a peer's own python: JSON cases in, its answers out. Imports nothing of ours."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
from collections.abc import Callable
from typing import Any

Said = tuple[Any, Any]
OLMO = ["Ġ</", "</", "think", ">", ">\n", ">\n\n"]
"""Tokens that a parser wants to find in the vocabulary, as its model has no token for the marker."""


def sglang() -> Callable[[dict[str, Any]], Said]:
    """As its server does: the parser is told whether the prompt has opened the thought."""
    parsers = importlib.import_module("sglang.srt.parser.reasoning_parser")

    def parse(case: dict[str, Any]) -> Said:
        forced = True if case["told"] == "open" else False if case["tail"] or case["asked"] is False else None
        parser = parsers.ReasoningParser(case["name"], stream_reasoning=False, force_reasoning=forced)
        found: Said = parser.parse_non_stream(case["text"])
        return found

    return parse


def transformers() -> Callable[[dict[str, Any]], Said]:
    """By the response templates that `transformers serve` falls back to."""
    serving = importlib.import_module("transformers.cli.serving.utils")
    response = importlib.import_module("transformers.utils.chat_parsing").parse_response
    templates = {name: spec for names, spec in serving._RESPONSE_TEMPLATE_FALLBACKS.items() for name in names}

    def parse(case: dict[str, Any]) -> Said:
        found = response(case["text"], templates[case["name"]], prefix=case["tail"])
        return found.get("reasoning_content"), found.get("content")

    return parse


def vllm() -> Callable[[dict[str, Any]], Said]:
    """As its server does: a parser for the request, then the prompt's ids, then the text and its ids."""
    manager = importlib.import_module("vllm.parser.parser_manager").ParserManager
    protocol = importlib.import_module("vllm.entrypoints.openai.chat_completion.protocol")

    def parse(case: dict[str, Any]) -> Said:
        tokenizer = _tokenizer(case["markers"])
        wish = case["asked"] if case["asked"] is not None else {"open": True, "closed": False}.get(case["told"])
        mode = "enabled" if wish else "disabled"
        kwargs = {} if wish is None else {"enable_thinking": wish, "thinking": wish, "thinking_mode": mode}
        parser = manager.get_parser(reasoning_parser_name=case["name"])(tokenizer, chat_template_kwargs=kwargs)
        request = protocol.ChatCompletionRequest(
            model="any", messages=[{"role": "user", "content": "hi"}], chat_template_kwargs=kwargs
        )
        parser.adjust_request(request)
        opening = case["markers"][0] if case["told"] == "open" else ""
        parser.set_prompt_token_ids(tokenizer.encode(case["tail"] or "<|im_start|>assistant\n" + opening))
        ids = tokenizer.encode(case["text"])
        reasoning, content, _ = parser.parse(case["text"], request, enable_auto_tools=False, model_output_token_ids=ids)
        return reasoning, content

    return parse


def _tokenizer(markers: list[str]) -> Any:
    """One token for each byte and for each marker, as the family's own tokenizer has them."""
    tokenizers = importlib.import_module("tokenizers")
    bytes_alone = tokenizers.Tokenizer(tokenizers.models.BPE(vocab={}, merges=[]))
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    letters = dict.fromkeys([*alphabet, *OLMO])
    bytes_alone.model = tokenizers.models.BPE(vocab={letter: at for at, letter in enumerate(letters)}, merges=[])
    bytes_alone.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_alone.decoder = tokenizers.decoders.ByteLevel()
    added = [*markers, "<|im_start|>", "<|im_end|>"]
    bytes_alone.add_tokens([tokenizers.AddedToken(word, special=False) for word in added])
    fast = importlib.import_module("transformers").PreTrainedTokenizerFast
    return fast(tokenizer_object=bytes_alone, eos_token="<|im_end|>")


def main() -> None:
    peer = sys.argv[1]
    parse = {"sglang": sglang, "transformers": transformers, "vllm": vllm}[peer]()
    answers: list[Any] = []
    for case in json.load(sys.stdin):
        if case["name"] is None:
            answers.append(None)
            continue
        try:
            reasoning, content = parse(case)
        except Exception as error:  # noqa: BLE001  a parser that breaks on a case has not got it right
            reasoning, content = f"{type(error).__name__}: {error}", ""
        answers.append([str(reasoning or ""), str(content or "")])
    try:
        version = importlib.metadata.version(peer)
    except importlib.metadata.PackageNotFoundError:
        version = ""
    print(json.dumps({"version": version, "answers": answers}))


if __name__ == "__main__":
    main()
