"""The form of a case, and the ends of prompts that many share."""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    family: str
    text: str
    reasoning: str
    content: str
    state: str
    source: str
    tail: str = ""
    asked: bool | None = None
    by: str = ""
    """Who opened the thought, where the case is about that."""


CHATML = "<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n"
OFF = CHATML + "<think>\n\n</think>\n\n"
OPENED = CHATML + "<think>\n"
R1 = "<｜begin▁of▁sentence｜><｜User｜>hi<｜Assistant｜>"
CALL = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
XML_CALL = "<tool_call>\n<function=bash>\n<parameter=command>\ncat /etc/hosts\n</parameter>\n</function>\n</tool_call>"
