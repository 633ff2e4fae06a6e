"""Facts from the engines' own public test suites, in our words: a prompt, an output, its thought and its answer.

The engines differ among themselves on some; the rules at the head of checks/thinking.py decide, and the source says so.
"""

from __future__ import annotations

from tests.checks.thinking_case import CHATML, OFF, OPENED, R1, XML_CALL, Case

# fmt: off
OLLAMA = "Ollama model/parsers/"
LLAMA = "llama.cpp tests/test-chat: "
VLLM = "vLLM tests/reasoning/"
SGLANG = "SGLang test_reasoning_parser: "
HARMONY_SGLANG = "SGLang test_harmony_parser: "
TURN = "<bos><|turn>user\nhi<turn|>\n<|turn>model\n"
COHERE = "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"
HARMONY = "<|start|>user<|message|>hi<|end|><|start|>assistant"
ANALYSIS = "<|channel|>analysis<|message|>"
FINAL = "<|start|>assistant<|channel|>final<|message|>"
DS_CALL = '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"location":"Paris"}<｜tool▁calls▁end｜>'
DSML = '<｜DSML｜function_calls>\n<｜DSML｜invoke name="f">\n</｜DSML｜invoke>\n</｜DSML｜function_calls>'
GEMMA_CALL = '<|tool_call>call:get_weather{location:<|"|>Paris<|"|>}<tool_call|>'
GLM_CALL = "<tool_call>get_weather<arg_key>c</arg_key><arg_value>3</arg_value></tool_call>"

PAIRS = [
    Case("qwen3", "  abc", "", "  abc", "absent", "Ollama thinking/parser_test: content alone", CHATML),
    Case("qwen3", "<think>abc</thing>defghi</think>jkl", "abc</thing>defghi", "jkl", "closed",
         "Ollama thinking/parser_test: a fakeout of the closing tag"),
    Case("qwen3", "<think>\n</think>\n\nHi there", "", "Hi there", "empty", "Ollama thinking/parser_test: token by token"),
    Case("qwen3", "  <think>   \t   some thoughts </think>    more content", "   \t   some thoughts ", "    more content",
         "closed", "Ollama thinking/parser_test drops spaces too; ours keep them (whitespace)"),
    Case("qwen3", "  abc <think>def</think> ghi", "def", "  abc  ghi", "closed",
         "Ollama thinking/parser_test takes it all for content; by rule 1 the model may open wherever it has not yet"),
    Case("qwen3", "<think>\nLet me think\n</think>\n\nThe answer.\n", "Let me think", "The answer.\n", "closed",
         SGLANG + "payload whitespace; newlines beside a marker are the marker's"),
    Case("qwen3", "<think><think>Let me think</think>x", "Let me think", "x", "closed",
         SGLANG + "repeated leading start tokens"),
    Case("qwen3", "Some output without think tokens", "", "Some output without think tokens", "off",
         VLLM + "test_qwen3: disabled", asked=False),
    Case("qwen3", "<think>reasoning</think>", "reasoning", "", "closed", VLLM + "test_qwen3: both in one delta"),
    Case("qwen3-thinking", "Let me think...</think>Answer.", "Let me think...", "Answer.", "closed", OLLAMA + "qwen3_test"),
    Case("qwen3-thinking", 'Let me think<tool_call>{"name":"f","arguments":{}}</tool_call>', "Let me think",
         '<tool_call>{"name":"f","arguments":{}}</tool_call>', "closed", OLLAMA + "qwen3_test: a call while thinking"),
    Case("qwen3-thinking", "abc<think>unfinished</think> def", "abcunfinished", " def", "closed",
         OLLAMA + "qwen3vl_thinking_test keeps the inner tag; ours drop an echoed one (rule 3)"),
    Case("qwen3-thinking", "abc</think fakeout", "abc</think fakeout", "", "truncated",
         OLLAMA + "qwen3vl_thinking_test: a fakeout"),
    Case("qwen3-thinking", "I'm thinking<think>nested</think></think>", "I'm thinkingnested", "", "closed",
         OLLAMA + "qwen3vl_thinking_test: nested; the first close wins, the second is dropped"),
    Case("qwen3-thinking", "<think>I'm thinking</think>content</think>", "I'm thinking", "content", "closed",
         OLLAMA + "qwen3vl_thinking_test: a close after the answer"),
    Case("qwen3.5", "<think>\nLet me think...</think>Answer.", "Let me think...", "Answer.", "closed",
         OLLAMA + "qwen35_test: an echoed open", OPENED),
    Case("qwen3.5", " and continued", "", " and continued", "off", OLLAMA + "qwen35_test: an answer begun in the prompt",
         OFF + "It is"),
    Case("qwen3.5", "Need a look-up" + XML_CALL, "Need a look-up", XML_CALL, "closed", OLLAMA + "qwen35_test", OPENED),
    Case("qwen3.5", "Need a look-up<tool_c</think>", "Need a look-up<tool_c", "", "closed",
         OLLAMA + "qwen35_test: half a call is thought", OPENED),
    Case("qwen3.5", "Need a look-up</think>\n \t" + XML_CALL, "Need a look-up", " \t" + XML_CALL, "closed",
         OLLAMA + "qwen35_test: whitespace after the close", OPENED),
    Case("qwen3.5", "Plain answer.", "", "Plain answer.", "off", OLLAMA + "qwen35_test: off, no close", OFF),
    Case("qwen3.5", "</think>Some content.", "", "Some content.", "off",
         OLLAMA + "qwen35_test keeps the stray tag; ours show no marker", OFF, False),
    Case("qwen3.5", "</think>The final answer.", "", "The final answer.", "empty", OLLAMA + "qwen35_test", OPENED),
    Case("qwen3.5", "</think>\n\nLet me inspect it.\n" + XML_CALL, "", "Let me inspect it.\n" + XML_CALL, "empty",
         LLAMA + "Qwen3.5, no thought, then text and a call", OPENED),
    Case("qwen3.5", "I should inspect it.\n</think>\n\nNow.\n" + XML_CALL, "I should inspect it.", "Now.\n" + XML_CALL,
         "closed", LLAMA + "Qwen3.5, thought, text and a call", OPENED),
    Case("qwen3.5", "<think>\n\n</think>\n\n" + XML_CALL, "", XML_CALL, "empty",
         LLAMA + "Qwen3.5 calls the echoed open a thought; by rule 3 it is dropped", OPENED),
    Case("qwen3.5", XML_CALL, "", XML_CALL, "empty", LLAMA + "Qwen3.5: a call and no thought", OPENED),
    Case("qwen3.5", " thinking\n</think>\n\nHello", " thinking", "Hello", "closed", LLAMA + "a thought is continued",
         OPENED + "I'm", by="prompt"),
    Case("deepseek-r1", "I think this is the answer</think>42.", "I think this is the answer", "42.", "closed", SGLANG),
    Case("deepseek-r1", "</think>Hello", "", "Hello", "empty", LLAMA + "R1 distill", R1 + "<think>\n"),
    Case("deepseek-r1", "想</think>答案是42。", "想", "答案是42。", "closed",
         OLLAMA + "deepseek3_test: unicode"),
    Case("deepseek-v3", "Hello, world!", "", "Hello, world!", "off", LLAMA + "V3.2 with thinking off", R1 + "</think>",
         False),
    Case("deepseek-v3", "Look.</think>I'll get that." + DS_CALL, "Look.", "I'll get that." + DS_CALL, "closed",
         OLLAMA + "deepseek3_test", R1 + "<think>"),
    Case("deepseek-v3", "I'll check." + DS_CALL, "", "I'll check." + DS_CALL, "off", OLLAMA + "deepseek3_test", R1
         + "</think>"),
    Case("deepseek-v3", "Look.</think>\n\n" + DSML, "Look.", DSML, "closed", LLAMA + "V3.2: its own call markers", R1
         + "<think>"),
    Case("deepseek-v3", "Just thinking</think>", "Just thinking", "", "closed", OLLAMA + "deepseek3_test", R1 + "<think>"),
    Case("glm45", "<think>thinking<tool_call>f\n<arg_key>a</arg_key></tool_call><tool_call>g\n</tool_call>", "thinking",
         "<tool_call>f\n<arg_key>a</arg_key></tool_call><tool_call>g\n</tool_call>", "closed",
         SGLANG + "the first of several calls ends the thought"),
    Case("glm45", "<think>I need to think<tool_call>tool call data", "I need to think<tool_call>tool call data", "",
         "truncated", SGLANG + "ends it at any marker; by rule 4 what is no call in GLM's form is only spoken of"),
    Case("glm45", "<think>" + GLM_CALL, "", GLM_CALL, "empty", SGLANG + "no thought, then a call"),
    Case("glm47", "plan</think>Answer" + GLM_CALL, "plan", "Answer" + GLM_CALL, "closed", OLLAMA + "glm47_test"),
    Case("glm47", "</think>Plain answer", "", "Plain answer", "empty", OLLAMA + "glm47_test"),
    Case("glm47", "Plain answer", "", "Plain answer", "off", OLLAMA + "glm47_test: off", "<|assistant|>\n</think>"),
    Case("kimi-k2", "<think></think>final answer", "", "final answer", "empty", VLLM + "test_kimi_k2"),
    Case("kimi-k2", "<think>thinking<|tool_calls_section_begin|><|tool_call_begin|>", "thinking",
         "<|tool_calls_section_begin|><|tool_call_begin|>", "closed", SGLANG + "Kimi-K2's call interrupts"),
    Case("kimi-vl", "◁think▷Start thinking...◁/think▷answer", "Start thinking...", "answer", "closed", SGLANG + "Kimi"),
    Case("kimi-vl", "Direct answer.", "", "Direct answer.", "absent", SGLANG + "Kimi"),
    Case("seed-oss", " thinking</seed:think>\nHello", " thinking", "Hello", "closed", LLAMA + "a thought is continued",
         "<seed:bos>assistant\n<seed:think>I'm"),
    Case("minimax-m3", " thinking</mm:think>Hello", " thinking", "Hello", "closed", LLAMA + "a thought is continued",
         "]~b]ai\n<mm:think>I'm"),
    Case("minimax-m3", "<mm:think>Union</mm:think>]<]minimax[>[<tool_call>\n", "Union", "]<]minimax[>[<tool_call>\n",
         "closed",
         LLAMA + "MiniMax-M3"),
    Case("nemotron3", "Let me think...</think>\nI'll look.\n" + XML_CALL, "Let me think...", "I'll look.\n" + XML_CALL,
         "closed", OLLAMA + "nemotron3nano_test", OPENED),
    Case("nemotron3", "</think>\nHere is my answer.", "", "Here is my answer.", "empty", OLLAMA + "nemotron3nano_test",
         OPENED),
    Case("nemotron3", "<think></think>\nHere is my answer.", "", "Here is my answer.", "empty",
         OLLAMA + "nemotron3nano_test: an empty pair is echoed", OPENED),
    Case("nemotron3", "<think>All reasoning, no answer</think>", "All reasoning, no answer", "", "closed",
         SGLANG + "Nemotron3; that it may swap the two when asked to is its own option", OPENED),
    Case("nemotron3", 'x\n</think>\n\n<TOOLCALL>[{"name": "f"}]</TOOLCALL>\n', "x",
         '<TOOLCALL>[{"name": "f"}]</TOOLCALL>\n', "closed", LLAMA + "Nemotron-Nano-v2", OPENED),
    Case("cogito", "line 1\nline 2</think>Final.", "line 1\nline 2", "Final.", "closed", OLLAMA + "cogito_test", R1
         + "<think>\n"),
    Case("cogito", "I'm thinking <think>nested</think> more</think>Final.", "I'm thinking nested", " moreFinal.", "closed",
         OLLAMA + "cogito_test keeps the inner tags; ours show no marker", R1 + "<think>\n"),
    Case("cogito", "First</think>Content</think>More.", "First", "ContentMore.", "closed",
         OLLAMA + "cogito_test; the second close is dropped", R1 + "<think>\n"),
    Case("step3", "I was thinking\n</think>\nNow I'm not.", "I was thinking", "Now I'm not.", "closed", LLAMA + "StepFun"),
    Case("hunyuan-a13b", "<think>I need to check<tool_calls><tool_call>get_weather<tool_sep></tool_call></tool_calls>",
         "I need to check", "<tool_calls><tool_call>get_weather<tool_sep></tool_call></tool_calls>", "closed",
         SGLANG + "Hunyuan's call interrupts"),
    Case("mistral", "\n[THINK]This is a reasoning section[/THINK]\nThis is the rest", "This is a reasoning section",
         "This is the rest", "closed", VLLM + "test_mistral: new lines, those beside a marker dropped"),
    Case("mistral", "[THINK]about [TOOL_CALLS]f[ARGS]{} and more[/THINK][TOOL_CALLS]f[ARGS]{}",
         "about [TOOL_CALLS]f[ARGS]{} and more", "[TOOL_CALLS]f[ARGS]{}", "closed",
         LLAMA + "Ministral: a call in a thought that is closed is only spoken of"),
    Case("ministral", " thinking[/THINK]Hello", " thinking", "Hello", "closed", LLAMA + "a thought is continued",
         "[INST]hi[/INST][THINK]I'm"),
    Case("ministral", '[THINK]x[/THINK][TOOL_CALLS]f[ARGS]{"a": 1}', "x", '[TOOL_CALLS]f[ARGS]{"a": 1}', "closed",
         OLLAMA + "ministral_test"),
]

CHANNELS = [
    Case("gemma4", "<|channel>first thought<channel|><|channel>second thought<channel|>Final.",
         "first thoughtsecond thought",
         "Final.", "closed", OLLAMA + "gemma4_test: several thoughts"),
    Case("gemma4", "<|channel>thought\nLook<channel|>" + GEMMA_CALL, "Look", GEMMA_CALL, "closed", OLLAMA + "gemma4_test"),
    Case("gemma4", "Let me check." + GEMMA_CALL, "", "Let me check." + GEMMA_CALL, "absent", OLLAMA + "gemma4_test"),
    Case("gemma4", "<|channel>not wanted<channel|>actual content", "not wanted", "actual content", "closed",
         OLLAMA + "gemma4_test: off, yet it thinks; there the thought is thrown away", TURN, False),
    Case("gemma4", "The user asked for files.<channel|>go.mod", "The user asked for files.", "go.mod", "closed",
         OLLAMA + "gemma4_test: opened in the prompt", TURN + "<|channel>thought\n"),
    Case("gemma4", "This is a reasoning section<channel|>", "This is a reasoning section", "", "closed",
         VLLM + "test_gemma4: INVALID_COMPLETE"),
    Case("gemma4", "Hello", "", "Hello", "absent", VLLM + "test_gemma4: an earlier turn's thought does not count",
         "<|turn>model\n<|channel>thought\n1st<channel|>content<turn|>\n<|turn>user\nThanks<turn|>\n<|turn>model\n"),
    Case("gemma4", "<|channel>thought\n<channel|>Hello!<channel|>", "", "Hello!", "empty", LLAMA
         + "a stray close at the end"),
    Case("gemma4", "<|channel>thought\n<channel|>Hello!<|channel>thought\n<channel|>", "", "Hello!", "empty",
         LLAMA + "an empty thought after the answer"),
    Case("gemma4", "<|channel><|channel>thought\n<channel|>Hello!", "", "Hello!", "empty", LLAMA + "a doubled open"),
    Case("cohere", '<|START_THINKING|> plan<|END_THINKING|><|START_ACTION|>\n[{"tool_name": "f"}]\n<|END_ACTION|>', " plan",
         '<|START_ACTION|>\n[{"tool_name": "f"}]\n<|END_ACTION|>', "closed", VLLM + "test_cohere_command"),
    Case("cohere", "<|START_THINKING|>a 🌈<|END_THINKING|>\n<|START_RESPONSE|>foo<|END_RESPONSE|>", "a 🌈", "foo", "closed",
         VLLM + "test_cohere_command: emoji", COHERE),
    Case("cohere", "<|END_THINKING|><|START_TEXT|>Hello<|END_TEXT|>", "", "Hello", "empty", LLAMA
         + "Cohere2MoE: no thought",
         COHERE + "<|START_THINKING|>"),
    Case("cohere", "<|START_RESPONSE|>Hello<|END_RESPONSE|>", "", "Hello", "off", LLAMA + "command-r7b: no thought",
         COHERE, False),
    Case("cohere", 'x<|END_THINKING|><|START_ACTION|>[\n {"tool_name": ', "x", '<|START_ACTION|>[\n {"tool_name": ',
         "closed",
         LLAMA + "a call cut off", COHERE + "<|START_THINKING|>"),
    Case("gpt-oss", "<|channel|>commentary<|message|>Hello", "", "Hello", "absent", LLAMA + "a preamble alone", HARMONY),
    Case("gpt-oss", ANALYSIS + "x<|end|><|start|>assistant<|channel|>commentary<|message|>Plan: 1.<|end|>"
         "<|start|>assistant<|channel|>commentary to=functions.f<|message|>{}<|call|>", "x", "Plan: 1.{}", "closed",
         HARMONY_SGLANG + "a preamble, then a call"),
    Case("gpt-oss", '<|channel|>analysis to=browser.search<|message|>{"q": 1}<|call|>', "", '{"q": 1}', "absent",
         HARMONY_SGLANG + "a built-in tool on the analysis channel is no thought"),
    Case("gpt-oss", " to=functions.f<|channel|>analysis <|constrain|>json<|message|>{}", "", "{}", "absent",
         LLAMA + "a recipient before the analysis channel", HARMONY),
    Case("gpt-oss", ANALYSIS + "x<|end|><|start|>assistant to=functions.f<|channel|>analysis<|message|>{}", "x", "{}",
         "closed",
         LLAMA + "a recipient in the role", HARMONY),
    Case("gpt-oss", "<|channel|>commentary to=assistant<|channel|>analysis<|message|>x<|end|>" + FINAL + "y", "x", "y",
         "closed", LLAMA + "a stray commentary head before the channel", HARMONY),
    Case("gpt-oss", ANALYSIS
         + "x<|end|><|start|>assistant<|channel|>commentary to=assistant<|channel|>final<|message|>y", "x",
         "y", "closed", LLAMA + "a stray commentary head before the answer", HARMONY),
    Case("gpt-oss", " thinking<|end|>" + FINAL + "Hello", " thinking", "Hello", "closed", LLAMA + "a thought is continued",
         HARMONY + ANALYSIS + "I'm"),
    Case("gpt-oss", "world!", "", "world!", "absent", LLAMA + "an answer is continued",
         HARMONY + ANALYSIS + "x<|end|>" + FINAL + "Hello, "),
    Case("gpt-oss", ANALYSIS + "a<|end|>" + ANALYSIS + "b<|end|>", "a\nb", "", "closed", HARMONY_SGLANG + "two thoughts"),
    Case("gpt-oss", ANALYSIS + "  spaces  <|end|>", "  spaces  ", "", "closed", HARMONY_SGLANG + "whitespace"),
    Case("gpt-oss", "<|end|><|start|><|channel|>final<|message|>answer<|end|>", "", "answer", "absent",
         HARMONY_SGLANG + "a lone end"),
    Case("gpt-oss", "text <|weird|> more text " + ANALYSIS + "x<|end|>", "x", "text <|weird|> more text ", "closed",
         HARMONY_SGLANG + "text and an unknown token before a channel"),
    Case("gpt-oss", ANALYSIS
         + 'x<|end|><|start|>assistant<|channel|>commentary to=functions.f<|message|>{}<|call|>commentary'
         '<|channel|>commentary to=functions.f<|message|>{}<|call|>' + ANALYSIS + "y<|end|>" + FINAL + "z<|return|>",
         "x\ny",
         "{}{}z", "closed", HARMONY_SGLANG + "a channel's name as filler between two calls"),
    Case("gpt-oss", "<|channel|>unknown<|message|>content<|end|>", "", "content", "absent",
         HARMONY_SGLANG + "a channel nobody knows; there it is thrown away, here no answer is lost"),
    Case("gpt-oss", "analysis thought assistantfinal answer", "", "analysis thought assistantfinal answer", "absent",
         HARMONY_SGLANG + "guesses from words where special tokens are gone; by rule 5 only markers count"),
]

FACTS = [*PAIRS, *CHANNELS]
