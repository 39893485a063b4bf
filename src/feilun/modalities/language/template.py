"""Chat templates: the text that a conversation is to a language model, in training and in serving.

A template is Jinja, comes with a model and is not trusted: it runs in Jinja's sandbox, with what
transformers' ``apply_chat_template`` gives it (5.x, ``utils/chat_template_utils.py``), and gives
the same bytes. One thing differs: ``strftime_now`` always says the same day, because a model would
otherwise be asked in other words than it was taught in.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from feilun.errors import InvalidData
from feilun.modalities.language import gguf
from feilun.modalities.language.conversations import Message

__all__ = ["CHATML", "FILE", "Lesson", "Template", "lesson", "read_template", "render"]

FILE = "chat_template.jinja"

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""The template of models that come without one; ``<|im_end|>`` ends an answer."""

_TODAY = datetime(2024, 7, 26)  # noqa: DTZ001 - the day that Llama's own templates fall back on
_TOKENS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
_REASONING = ("reasoning_content", "thinking", "reasoning")


@dataclass(frozen=True, slots=True)
class Template:
    """The Jinja `source`, and the special `tokens` that it may name (``bos_token``, ...)."""

    source: str
    tokens: Mapping[str, str] = field(default_factory=dict)


class Lesson(NamedTuple):
    """A conversation as it is taught: the `prompt` is read, the `answer` is learnt. The answer ends
    with the stop token."""

    prompt: str
    answer: str


def read_template(folder: Path) -> Template | None:
    """The chat template of a model's folder, or of the GGUF file in it; None where it has none.
    Raises `InvalidData` for files that cannot be read."""
    config: dict[str, Any] = {}
    packed = None
    if not (folder / "tokenizer.json").is_file() and (found := gguf.found(folder)):
        header = gguf.read(found)
        config, packed = gguf.tokenizer_config(header), header.template
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        config |= _json(folder / name)
    tokens = {}
    for name in (f"{one}_token" for one in _TOKENS):
        value = config.get(name)
        value = value.get("content") if isinstance(value, Mapping) else value
        if isinstance(value, str):
            tokens[name] = value
    file = folder / FILE
    source = file.read_text("utf-8") if file.is_file() else config.get("chat_template", packed)
    if isinstance(source, list):  # several, by name
        named = {one.get("name"): one.get("template") for one in source if isinstance(one, Mapping)}
        source = named.get("default")
    return Template(source, tokens) if isinstance(source, str) and source.strip() else None


def render(
    messages: Sequence[Message | Mapping[str, Any]],
    template: Template,
    *,
    ask: bool,
    tools: Sequence[Mapping[str, Any]] | None = None,
) -> str:
    """The conversation as text. With `ask` it ends where an answer begins. `tools` are what may be
    called, in OpenAI's form.

    The text holds all special tokens there are: whoever tokenises it adds none. Raises
    `InvalidData` where the template is wrong or refuses these messages (roles in another order).
    """
    try:
        return _compiled(template.source).render(
            messages=[_aliased(_plain(one)) for one in messages],
            tools=None if tools is None else _plain(list(tools)),
            documents=None,
            add_generation_prompt=ask,
            **template.tokens,
        )
    except _Refused as error:
        raise InvalidData("chat.refused", reason=str(error)[:300], param="messages") from None
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise InvalidData("chat.bad_template", reason=str(error)[:300]) from None
    except (AttributeError, RecursionError, MemoryError) as error:
        raise InvalidData("chat.bad_template", reason=repr(error)[:300]) from None


def lesson(
    messages: Sequence[Message], answer: str, template: Template, stops: Collection[str], eos: str
) -> Lesson:
    """What is read and what is learnt of a conversation that is answered with `answer`.

    The prompt is the very text that is rendered when the model is asked. What is learnt ends with
    the first of `stops` (the special tokens of the tokenizer) that the template puts behind the
    answer, and with `eos` where it puts none: an answer that never ends is the fault of a model
    that was not taught to stop.
    """
    prompt = render(messages, template, ask=True)
    whole = render([*messages, Message("assistant", answer)], template, ask=False)
    rest = whole[len(prompt) :] if whole.startswith(prompt) else ""
    begin = rest.find(answer)
    if begin < 0 or rest[:begin].strip():
        # Other words stand before the answer than where the model is asked.
        begin = whole.rfind(answer)
        rest = whole[begin:] if begin >= 0 else ""
        begin = 0
    end = begin + len(answer) if rest else 0
    found = [(place, stop) for stop in stops if stop and (place := rest.find(stop, end)) >= 0]
    place, stop = min(found, default=(end, eos))
    return Lesson(prompt, (rest[:place] if rest else answer) + stop)


class _Refused(jinja2.TemplateError):
    """What a template says by ``raise_exception``."""


class _Generation(jinja2.ext.Extension):
    """``{% generation %}``, with which templates mark answers, changes nothing in the text."""

    tags = {"generation"}  # noqa: RUF012 - jinja2's way

    def parse(self, parser: Any) -> Any:
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("_as_it_is")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _as_it_is(self, caller: Any) -> str:
        return str(caller())


class _Dict:
    """``dict`` without the attributes of a class."""

    def __call__(self, *args: Any, **more: Any) -> dict[Any, Any]:
        return dict(*args, **more)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _Namespace(jinja2.utils.Namespace):
    """``namespace`` without names that begin with an underscore."""

    def __init__(*args: Any, **more: Any) -> None:  # a template may set `self`
        self, *values = args
        attributes = dict(*values, **more)
        for name in attributes:
            _check_name(name)
        jinja2.utils.Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"namespace takes no attribute {name!r}")


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {
        "raise_exception": _refuse,
        "strftime_now": _TODAY.strftime,
        "dict": _Dict(),
        "namespace": _Namespace,
    }
    return environment


@lru_cache(maxsize=64)
def _compiled(source: str) -> jinja2.Template:
    return _environment().from_string(source)


def _refuse(message: Any) -> None:
    raise _Refused(str(message))


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: Any = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter would escape HTML."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _plain(value: Any) -> Any:
    """`value` of JSON's types alone: a template gets no object with methods of its own."""
    if isinstance(value, Message):
        told = value.plain()
        if value.tool_calls:  # templates write the arguments as JSON themselves
            told["tool_calls"] = [_read_arguments(one) for one in value.tool_calls]
        return _plain(told)
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if value is None or type(value) in (str, int, float, bool):
        return value
    return str(value)


def _read_arguments(call: Mapping[str, Any]) -> dict[str, Any]:
    function = dict(call["function"])
    with suppress(ValueError, RecursionError):
        function["arguments"] = json.loads(function["arguments"])
    return {**call, "function": function}


def _aliased(message: Any) -> Any:
    """What a model thought, under all names that templates have for it."""
    thought = next((message[key] for key in _REASONING if message.get(key) is not None), None)
    if thought is None:
        return message
    return {"thinking": thought, **message, "reasoning_content": thought}


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    except ValueError as error:
        raise InvalidData("tasks.not_json", file=file, reason=str(error)) from None
    return found if isinstance(found, dict) else {}
