"""Rendering is transformers' to the byte; what is learnt is the answer and its end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from feilun.errors import InvalidData
from feilun.modalities.language.conversations import Message
from feilun.modalities.language.template import CHATML, Template, lesson, read_template, render

SMOLLM = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are helpful.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA2 = """
{% if messages[0]['role'] == 'system' %}
    {% set system = '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' %}
    {% set loop_messages = messages[1:] %}
{% else %}
    {% set loop_messages = messages %}{% set system = '' %}
{% endif %}
{% for message in loop_messages %}
    {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('Conversation roles must alternate') }}
    {% endif %}
    {% if message['role'] == 'user' %}
        {{- bos_token + '[INST] ' + (system if loop.first else '') + message['content'] | trim -}}
        {{- ' [/INST]' }}
    {% else %}
        {{- ' ' + message['content'] | trim + ' ' + eos_token -}}
    {% endif %}
{% endfor %}
"""
THINKING = """
{%- set ns = namespace(last=messages | length - 1) %}
{%- if tools %}<tools>{% for tool in tools %}{{ tool | tojson }}
{% endfor %}</tools>{% endif %}
{%- for message in messages %}
    {%- if loop.index0 > 40 %}{% break %}{% endif %}
    {%- if message.role == 'assistant' %}
        {%- generation %}
        {{- '<|im_start|>assistant\\n' }}
        {%- if loop.index0 == ns.last %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}
        {{- message.content }}<|im_end|>
{% endgeneration %}
    {%- else %}
        {{- '<|im_start|>' ~ message.role }}
{{ message.content }}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""
TALKS: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": "Hi"}],
    [
        {"role": "system", "content": "Be <short> & \"kind\"."},
        {"role": "user", "content": " 运费是多少？ 🚚\n"},
        {"role": "assistant", "content": "满 99 元包邮。"},
        {"role": "user", "content": "谢谢 {{ bos_token }} {% if %}"},
    ],
]  # fmt: skip
TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {"größe": "<b>"}}}]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


@pytest.fixture(scope="module")
def peer() -> Any:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    plain = Tokenizer(models.BPE({"<s>": 0, "</s>": 1}, []))
    return PreTrainedTokenizerFast(tokenizer_object=plain, **TOKENS)


@pytest.mark.parametrize("source", [SMOLLM, LLAMA2, THINKING, CHATML])
def test_renders_as_transformers_does(peer: Any, source: str) -> None:
    for talk in TALKS:
        for ask in (False, True):
            for tools in (None, TOOLS):
                wanted = peer.apply_chat_template(
                    talk,
                    tools=tools,
                    chat_template=source,
                    tokenize=False,
                    add_generation_prompt=ask,
                )
                assert render(talk, Template(source, TOKENS), ask=ask, tools=tools) == wanted
    assert render([Message("user", "Hi")], Template(source, TOKENS), ask=True).count("Hi") == 1


def test_the_day_is_always_the_same() -> None:
    day = Template("{{ strftime_now('%d %b %Y') }}")
    assert render([], day, ask=True) == "26 Jul 2024"


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (LLAMA2, "chat.refused"),
        ("{% if %}", "chat.bad_template"),
        ("{{ messages.nothing.at_all }}", "chat.bad_template"),
        ("{{ ''.__class__.__mro__ }}", "chat.bad_template"),
        ("{{ 1 // 0 }}", "chat.bad_template"),
        ("{{ messages.append(1) }}", "chat.bad_template"),
        ("{% set ns = namespace(_x=1) %}", "chat.bad_template"),
        ("{% for i in range(1000000000) %}x{% endfor %}", "chat.bad_template"),
    ],
)
def test_what_fails_says_why(source: str, code: str) -> None:
    talk = [Message("user", "a"), Message("user", "b")]
    with pytest.raises(InvalidData) as caught:
        render(talk, Template(source, TOKENS), ask=True)
    assert caught.value.code == code
    assert code != "chat.refused" or "must alternate" in str(caught.value)


ASKED = [Message("system", "Be short."), Message("user", "Yes or yes<|im_end|>?")]
STOPS = ("<s>", "</s>", "<|im_start|>", "<|im_end|>")


@pytest.mark.parametrize(
    ("source", "learnt"),
    [
        (SMOLLM, "yes<|im_end|>"),
        (LLAMA2, " yes </s>"),
        # The template puts thoughts before the answer that the model is not asked after.
        (THINKING, "yes<|im_end|>"),
        # It ends no answer, so that the model would never stop.
        ("{% for one in messages %}{{ one.role }}: {{ one.content }}\n{% endfor %}", "yes</s>"),
        # It drops what was answered.
        ("{{ messages[0].content }}", "yes</s>"),
    ],
)
def test_the_answer_and_its_end_are_learnt(source: str, learnt: str) -> None:
    template = Template(source, TOKENS)
    found = lesson(ASKED, "yes", template, STOPS, "</s>")
    assert found.answer == learnt
    assert found.prompt == render(ASKED, template, ask=True)


def test_a_folder_says_which(tmp_path: Path) -> None:
    assert read_template(tmp_path) is None
    config = {
        "eos_token": {"content": "</s>", "special": True},
        "bos_token": None,
        "chat_template": [
            {"name": "tools", "template": "x"},
            {"name": "default", "template": "{{ eos_token }}"},
        ],
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    found = read_template(tmp_path)
    assert found == Template("{{ eos_token }}", {"eos_token": "</s>"})
    (tmp_path / "chat_template.jinja").write_text("own", "utf-8")
    assert read_template(tmp_path) == Template("own", {"eos_token": "</s>"})
    (tmp_path / "tokenizer_config.json").write_text("{", "utf-8")
    with pytest.raises(InvalidData, match=r"tokenizer_config\.json"):
        read_template(tmp_path)


def test_calls_and_results_of_tools_are_rendered_as_the_template_wants_them() -> None:
    source = (
        "{% for m in messages %}{{ m.role }}"
        "{% if 'tool_calls' in m %}{% for c in m.tool_calls %}"
        "[{{ c.function.name }} {{ c.function.arguments | tojson }}]{% endfor %}{% endif %}"
        "{{ m.content }};{% endfor %}"
    )
    call = {
        "id": "1",
        "type": "function",
        "function": {"name": "price", "arguments": '{"of": "茶"}'},
    }
    talk = [
        Message("user", "How much?"),
        Message("assistant", "", [call]),
        Message("tool", "3.50", tool_call_id="1", name="price"),
    ]
    said = render(talk, Template(source, {}), ask=True)
    assert said == 'userHow much?;assistant[price {"of": "茶"}];tool3.50;'
