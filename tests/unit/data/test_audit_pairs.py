"""What the audit says of texts beside their answers."""

from __future__ import annotations

import pytest

from feilun.tasks import base as tasks

GOOD = [("Open the %s", "打开%s"), ("Close", "关闭"), ("{n} files", "{n} 个文件")] * 10


def _found(name: str, rows: list[tuple[str, str]]) -> dict[str, tuple[int, list[int]]]:
    tally = tasks.get(name).inspection()
    assert tally is not None
    for place, (text, answer) in enumerate(rows):
        tally.add(place, text, answer)
    return {one.code: (one.count, list(one.rows)) for one in tally.findings()}


def test_translations() -> None:
    assert _found("translation", GOOD) == {}
    bad = [
        ("Open Office", "open  office"),  # not translated
        ("%s", "%s"),  # nothing to translate
        ("Save {name}", "保存"),
        ("删除文件", "Delete the file"),
        ("3.5", "3.5"),
    ]
    size = len(GOOD)
    assert _found("translation", [*GOOD, *bad]) == {
        "untranslated": (1, [size]),
        "placeholders_differ": (1, [size + 2]),
        "swapped_languages": (1, [size + 3]),
    }
    # Where both ways are usual nobody can tell which is wrong.
    both = [*GOOD, *[(answer, text) for text, answer in GOOD]]
    assert "swapped_languages" not in _found("translation", both)


@pytest.mark.parametrize(
    ("name", "rows", "found"),
    [
        (
            "summarization",
            [("A long text of many words.", "Text."), ("Short.", "Not short."), ("Same", "same")],
            {"long_summaries": (1, [1]), "copied_answers": (1, [2])},
        ),
        (
            "text-generation",
            [("Write to Ada now", "Write to Ada now Dear Ada"), ("Hi", "Hi there"), ("a b", "A b")],
            {"repeated_prompts": (1, [0]), "copied_answers": (1, [2])},
        ),
    ],
)
def test_summaries_and_completions(
    name: str, rows: list[tuple[str, str]], found: dict[str, tuple[int, list[int]]]
) -> None:
    assert _found(name, rows) == found


def test_other_tasks_look_at_no_pairs() -> None:
    assert tasks.get("text-classification").inspection() is None
