"""Conversations: who said what, and the one text that stands for it.

A conversation is kept as text. One question alone is that question; anything more is the JSON list
of its messages, ``[{"role":"system","content":"…"},{"role":"user","content":"…"}]``, without
spaces between, so that equal conversations are equal texts. Calls of tools and their results stand
in it as OpenAI writes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from feilun.errors import InvalidData
from feilun.messages import Language, t
from feilun.modalities.text.tokens import MAX_CHARACTERS, check

__all__ = [
    "Message",
    "asked",
    "canonical",
    "listed",
    "messages_of",
    "question",
    "read",
    "spoken",
    "write",
]

_ROLES = {
    "system": "system", "developer": "system", "系统": "system",
    "user": "user", "human": "user", "prompter": "user", "用户": "user",
    "assistant": "assistant", "gpt": "assistant", "bot": "assistant", "chatgpt": "assistant",
    "model": "assistant", "助手": "assistant",
    "tool": "tool", "function": "tool", "工具": "tool",
}  # fmt: skip
"""What messages call who speaks, in OpenAI's form and in ShareGPT's."""
_TEXTS = ("text", "input_text", "output_text")
"""Types of the parts of a message, in chat completions and in responses."""
_MOST = 1000
"""Messages of one conversation."""


class Message(NamedTuple):
    """One message; its role is ``system``, ``user``, ``assistant`` or ``tool``. An assistant's may
    have `tool_calls` in OpenAI's form, and then no `content`; `tool_call_id` says which of them a
    tool's message answers, and `name` which function."""

    role: str
    content: str
    tool_calls: Sequence[Mapping[str, Any]] | None = None
    tool_call_id: str | None = None
    name: str | None = None

    def plain(self) -> dict[str, Any]:
        """It as JSON, without what it does not have: what a template is given."""
        return {name: value for name, value in self._asdict().items() if value is not None}


def listed(value: Any) -> list[Any] | None:
    """The messages that `value` lists, itself or as JSON; None where it lists none."""
    if isinstance(value, str):
        if not value.lstrip().startswith("["):
            return None
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if not isinstance(value, list) or not value:
        return None
    known = all(isinstance(one, Mapping) and ({"role", "from"} & set(one)) for one in value)
    return value if known else None


def read(value: Sequence[Any]) -> list[Message]:
    """The messages of a list, in OpenAI's form (role, content) or ShareGPT's (from, value). A
    system message comes first or not at all, a tool's message after the call that it answers.
    Raises `InvalidData` naming the message at fault."""
    if len(value) > _MOST:
        raise InvalidData("chat.too_many", given=len(value), limit=_MOST, param="messages")
    found: list[Message] = []
    called: dict[str, str] = {}
    for place, one in enumerate(value):
        where = f"messages[{place}]"
        given = one.get("role", one.get("from")) if isinstance(one, Mapping) else None
        role = _ROLES.get(given.strip().casefold()) if isinstance(given, str) else None
        if role is None:
            raise InvalidData("chat.bad_role", given=str(given)[:40], param=f"{where}.role")
        if role == "system" and place:
            raise InvalidData("chat.late_system", param=f"{where}.role")
        said = one.get("content", one.get("value"))
        calls = _calls(one.get("tool_calls"), where) if role == "assistant" else None
        text = "" if calls and said is None else _content(said, where)
        if not text.strip() and not calls and role in ("user", "assistant"):
            raise InvalidData("chat.nothing_said", param=f"{where}.content")
        if role == "tool":
            id_ = one.get("tool_call_id")
            if not isinstance(id_, str) or id_ not in called:
                raise InvalidData(
                    "chat.unknown_call", given=str(id_)[:40], param=f"{where}.tool_call_id"
                )
            found.append(Message(role, text, tool_call_id=id_, name=called[id_]))
            continue
        called |= {call["id"]: call["function"]["name"] for call in calls or ()}
        found.append(Message(role, text, calls or None))
    return found


def asked(messages: Sequence[Message]) -> list[Message]:
    """`messages` that end with a question, or with what a tool said. Raises `InvalidData` for
    others."""
    if not messages or messages[-1].role not in ("user", "tool"):
        last = messages[-1].role if messages else "–"
        raise InvalidData("chat.no_question", last=last, param="messages")
    return list(messages)


def write(messages: Sequence[Message]) -> str:
    """The text that stands for a conversation."""
    if len(messages) == 1 and messages[0].role == "user":
        text = messages[0].content
        if listed(text) is None:  # which would be read as a conversation
            return text
    plain = [one.plain() for one in messages]
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def canonical(item: Any, column: str) -> str:
    """`item` as the text of a conversation that ends with a question: a text, messages, their JSON,
    or any of these in `column`. Raises `InvalidData` for anything else."""
    if isinstance(item, Mapping) and set(item) == {column}:
        item = item[column]
    messages = listed(item)
    if messages is None:
        if isinstance(item, list):
            raise InvalidData("chat.no_messages", param="messages")
        text = check(item, column)
        if not text.strip():
            raise InvalidData("chat.nothing_asked", param="messages")
        return text
    text = write(asked(read(messages)))
    if len(text) > MAX_CHARACTERS:
        raise InvalidData("tasks.text_too_long", length=len(text), limit=MAX_CHARACTERS)
    return text


def messages_of(text: str) -> list[Message]:
    """The messages of a conversation's text."""
    found = listed(text)
    return [Message("user", text)] if found is None else [Message(**one) for one in found]


def spoken(text: str, lang: Language | None = None) -> str:
    """A conversation's text for people: each message after who says it; one question alone."""
    said = messages_of(text)
    if len(said) == 1:
        return said[0].content
    texts = [one.content or json.dumps(one.tool_calls, ensure_ascii=False) for one in said]
    lines = zip(said, texts, strict=True)
    return "\n".join(t(f"chat.said_{one.role}", lang, text=text) for one, text in lines)


def question(text: str) -> str:
    """What was asked last in a conversation's text."""
    messages = messages_of(text)
    by_user = [one.content for one in messages if one.role == "user"]
    return (by_user or [messages[-1].content])[-1]


def _calls(value: Any, where: str) -> list[dict[str, Any]]:
    """The calls of an assistant's message, each with nothing but what it needs."""
    found = []
    for place, one in enumerate(value if isinstance(value, list) else ()):
        function = one.get("function") if isinstance(one, Mapping) else None
        said: tuple[Any, ...] = ()
        if isinstance(function, Mapping) and one.get("type", "function") == "function":
            said = (one.get("id"), function.get("name"), function.get("arguments"))
        if not said or not all(isinstance(each, str) for each in said):
            raise InvalidData("chat.bad_call", param=f"{where}.tool_calls[{place}]")
        plain = {"name": check(said[1], "name"), "arguments": check(said[2], "arguments")}
        found.append({"id": check(said[0], "id"), "type": "function", "function": plain})
    if value is not None and not isinstance(value, list):
        raise InvalidData("chat.bad_call", param=f"{where}.tool_calls")
    return found


def _content(value: Any, where: str) -> str:
    """The text of a message: text, or OpenAI's list of parts that are texts."""
    if isinstance(value, list):
        texts = []
        for place, part in enumerate(value):
            kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
            if kind not in ("text", "input_text", "output_text") or not isinstance(
                part.get("text"), str
            ):
                param = f"{where}.content[{place}]"
                raise InvalidData("chat.bad_part", given=str(kind)[:40], param=param)
            texts.append(part["text"])
        value = "\n".join(texts)
    if not isinstance(value, str):
        raise InvalidData("chat.no_content", given=type(value).__name__, param=f"{where}.content")
    return check(value, "content")
