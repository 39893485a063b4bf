"""Conversations in the forms that files have for them, and what is wrong with some."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from feilun.data.reading import open_readings
from feilun.data.sources import BadRow, Source
from feilun.errors import InvalidData
from feilun.modalities.language import conversations
from feilun.tasks import base as tasks

CHAT = tasks.get("chat")
ROLES = ("user", "assistant")


def _read(path: Path, rows: list[Any], **columns: str) -> list[Any]:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    (reading,) = open_readings(Source(path), CHAT, columns)
    return [one.code if isinstance(one, BadRow) else (one.item, one.label) for one in reading]


def _said(*messages: tuple[str, str]) -> str:
    return conversations.write([conversations.Message(*one) for one in messages])


def test_messages_of_openai(tmp_path: Path) -> None:
    system = {"role": "system", "content": "Be short."}
    ask, answer = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
    more = [{"role": "user", "content": "Open?"}, {"role": "assistant", "content": "Yes"}]
    rows = [
        {"messages": [ask, answer]},
        {"messages": [system, ask, answer, *more]},
        {"messages": [ask]},
        {"messages": [answer, ask]},
        {"messages": [{"role": "wizard", "content": "x"}]},
        {"messages": [{"role": "user", "content": ""}, answer]},
        {"messages": "not a list, but a question"},
    ]
    found = _read(tmp_path / "chat.jsonl", rows)
    assert found[0] == ("Hi", "Hello")
    # Each answer is a row: what was said before it is what it answers.
    assert found[1] == (_said(("system", "Be short."), ("user", "Hi")), "Hello")
    before = ("system", "Be short."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Open?")
    assert found[2] == (_said(*before), "Yes")
    assert found[3:5] == ["chat.nothing_answered"] * 2
    assert found[5:7] == ["chat.bad_role", "chat.nothing_said"]
    assert len(found) == 8


def test_the_turns_of_a_conversation_stay_together(tmp_path: Path) -> None:
    """Later turns repeat earlier ones: divided, the test rows would be known."""
    talk = [{"role": role, "content": f"{role} {n}"} for n in (1, 2) for role in ROLES]
    path = tmp_path / "chat.jsonl"
    path.write_text(f"{json.dumps({'messages': talk})}\n" * 2, "utf-8")
    (reading,) = open_readings(Source(path), CHAT)
    groups = [one.group for one in reading if not isinstance(one, BadRow)]
    assert groups[0] == groups[1] != groups[2] == groups[3]


def test_conversations_of_sharegpt(tmp_path: Path) -> None:
    talk = [{"from": "human", "value": "你好"}, {"from": "gpt", "value": "您好"}]
    rows = [{"id": "a", "conversations": talk}, {"id": "b", "conversations": talk[1:]}]
    assert _read(tmp_path / "chat.jsonl", rows) == [("你好", "您好"), "chat.nothing_answered"]


@pytest.mark.parametrize(
    ("talk", "why"),
    [
        ([("user", "a")], "chat.nothing_answered"),
        ([("system", "a"), ("assistant", "b")], "chat.nothing_answered"),
        ([("user", "a"), ("assistant", "")], "chat.nothing_said"),
        ([("user", "a"), ("assistant", " \n")], "chat.nothing_said"),
        ([("user", "a"), ("assistant", "\u200b")], "data.empty_label"),
        ([], "chat.no_messages"),
    ],
)
def test_what_would_teach_nothing_is_a_bad_row(
    tmp_path: Path, talk: list[tuple[str, str]], why: str
) -> None:
    rows = [{"messages": [{"role": role, "content": text} for role, text in talk]}]
    kept = {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}
    assert _read(tmp_path / "chat.jsonl", [kept, *rows]) == [("x", "y"), why]


def test_instructions_of_alpaca(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Translate", "input": "Tee", "output": "tea", "system": "", "history": []},
        {"instruction": "Say hello", "input": "", "output": "Hello"},
        {
            "instruction": "And now?",
            "input": "",
            "output": "Five",
            "system": "Be short.",
            "history": [["One?", "Two"]],
        },
        {"instruction": "", "input": "", "output": "x"},
        {"instruction": "x", "input": "", "output": ""},
    ]
    found = _read(tmp_path / "alpaca.jsonl", rows)
    assert found[:2] == [("Translate\n\nTee", "tea"), ("Say hello", "Hello")]
    before = ("system", "Be short."), ("user", "One?"), ("assistant", "Two"), ("user", "And now?")
    assert found[2] == (_said(*before), "Five")
    assert found[3:] == ["data.empty_input", "data.empty_label"]


@pytest.mark.parametrize(
    ("question", "answer"),
    [("prompt", "completion"), ("question", "answer"), ("问题", "答案"), ("query", "response")],
)
def test_a_column_of_questions_and_one_of_answers(
    tmp_path: Path, question: str, answer: str
) -> None:
    rows = [{"id": str(n), question: f"When? {n}", answer: f"At {n}."} for n in range(3)]
    assert _read(tmp_path / "qa.jsonl", rows)[2] == ("When? 2", "At 2.")


def test_a_table_of_cells_with_messages(tmp_path: Path) -> None:
    """As a CSV holds them: JSON in a cell."""
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    file = tmp_path / "chat.csv"
    cell = json.dumps(messages).replace('"', '""')
    file.write_text(f'id,messages\n1,"{cell}"\n2,"{cell}"\n', "utf-8")
    (reading,) = open_readings(Source(file), CHAT)
    assert [(one.item, one.label) for one in reading] == [("Hi", "Hello")] * 2  # type: ignore[union-attr]


def test_a_conversation_is_one_text() -> None:
    one = [{"role": "user", "content": "Hi"}]
    assert CHAT.check(one) == CHAT.check(json.dumps(one)) == CHAT.check("Hi") == "Hi"  # type: ignore[arg-type]
    # A question that looks like a conversation stays a question.
    text = json.dumps(one)
    kept = str(CHAT.check([{"role": "user", "content": text}]))  # type: ignore[arg-type]
    assert kept != text
    assert conversations.question(kept) == text
    assert CHAT.check(kept) == kept
    assert CHAT.check("[1] see below") == "[1] see below"
    long = [{"role": "user", "content": "x"}] * 1001
    for wrong in ("  ", [], [1], long, [{"role": "assistant", "content": "x"}]):
        with pytest.raises(InvalidData):
            CHAT.check(wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidData):
        CHAT.conversation([{"role": "user", "content": 5}])


def test_other_tasks_answer_no_conversation() -> None:
    assert tasks.get("text-classification").conversation([]) is None
