"""Conversations: who said what, and the one text that stands for it.

A conversation is kept as text. One question alone is that question; anything more is the JSON list
of its messages, ``[{"role":"system","content":"…"},{"role":"user","content":"…"}]``, without
spaces between, so that equal conversations are equal texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from feilun.errors import InvalidData
from feilun.tasks._text import MAX_CHARACTERS, check

__all__ = [
    "Message",
    "asked",
    "canonical",
    "listed",
    "messages_of",
    "question",
    "read",
    "write",
]

_ROLES = {
    "system": "system", "developer": "system", "系统": "system",
    "user": "user", "human": "user", "prompter": "user", "用户": "user",
    "assistant": "assistant", "gpt": "assistant", "bot": "assistant", "chatgpt": "assistant",
    "model": "assistant", "助手": "assistant",
}  # fmt: skip
"""What messages call who speaks, in OpenAI's form and in ShareGPT's."""
_MOST = 1000
"""Messages of one conversation."""


class Message(NamedTuple):
    """One message; its role is ``system``, ``user`` or ``assistant``."""

    role: str
    content: str


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
    system message comes first or not at all. Raises `InvalidData` naming the message at fault."""
    if len(value) > _MOST:
        raise InvalidData("chat.too_many", given=len(value), limit=_MOST, param="messages")
    found = []
    for place, one in enumerate(value):
        where = f"messages[{place}]"
        given = one.get("role", one.get("from")) if isinstance(one, Mapping) else None
        role = _ROLES.get(given.strip().casefold()) if isinstance(given, str) else None
        if role is None:
            raise InvalidData("chat.bad_role", given=str(given)[:40], param=f"{where}.role")
        if role == "system" and place:
            raise InvalidData("chat.late_system", param=f"{where}.role")
        text = _content(one.get("content", one.get("value")), where)
        if not text.strip() and role != "system":
            raise InvalidData("chat.nothing_said", param=f"{where}.content")
        found.append(Message(role, text))
    return found


def asked(messages: Sequence[Message]) -> list[Message]:
    """`messages` that end with a question. Raises `InvalidData` for others."""
    if not messages or messages[-1].role != "user":
        last = messages[-1].role if messages else "–"
        raise InvalidData("chat.no_question", last=last, param="messages")
    return list(messages)


def write(messages: Sequence[Message]) -> str:
    """The text that stands for a conversation."""
    if len(messages) == 1 and messages[0].role == "user":
        text = messages[0].content
        if listed(text) is None:  # which would be read as a conversation
            return text
    plain = [one._asdict() for one in messages]
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


def question(text: str) -> str:
    """What was asked last in a conversation's text."""
    return messages_of(text)[-1].content


def _content(value: Any, where: str) -> str:
    """The text of a message: text, or OpenAI's list of parts that are texts."""
    if isinstance(value, list):
        texts = []
        for place, part in enumerate(value):
            kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
            if kind not in ("text", "input_text") or not isinstance(part.get("text"), str):
                param = f"{where}.content[{place}]"
                raise InvalidData("chat.bad_part", given=str(kind)[:40], param=param)
            texts.append(part["text"])
        value = "\n".join(texts)
    if not isinstance(value, str):
        raise InvalidData("chat.no_content", given=type(value).__name__, param=f"{where}.content")
    return check(value, "content")
