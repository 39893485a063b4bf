"""Which column is the input and which the label."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from feilun.errors import InvalidData
from feilun.tasks import base
from feilun.types import ColumnSample, Roles, Scalar

LONG = [
    f"This is review number {n}, and it goes on for a while about the goods." for n in range(20)
]
SHORT = [f"word {n}" for n in range(20)]
MOOD = ["great", "other"] * 10


def _roles(task: str = "text-classification", **columns: Sequence[Scalar]) -> Roles:
    samples = [ColumnSample(name, values) for name, values in columns.items()]
    return base.get(task).recognise(samples)


def _found(roles: Roles) -> tuple[str, str | None]:
    return next(iter(roles.inputs.values())), roles.label


def test_the_reviews_file() -> None:
    """Row numbers and product codes never repeat: they are neither text nor label."""
    roles = _roles(
        rownames=list(range(20)),
        product=[f"B000J0L{n}BG" for n in range(20)],
        review=LONG,
        score=MOOD,
    )
    assert roles == Roles({"text": "review"}, label="score")


def test_by_content() -> None:
    assert _found(
        _roles(a=list(range(20)), b=SHORT, c=LONG, d=MOOD, e=["x", "y", "z", "x"] * 5)
    ) == (
        "c",
        "d",
    )


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("review", "score"),
        ("Review Text", "Star Rating"),
        ("reviewText", "sentimentLabel"),
        ("TEXT", "LABEL"),
        ("评论", "情感"),
        ("评论内容", "情感标签"),
        ("内容", "类别"),
        ("文本", "标签"),
        ("customer_comment", "category_name"),
    ],
)
def test_by_name(text: str, label: str) -> None:
    """The named columns win although others look more like it."""
    other = [line * 2 for line in LONG]
    few = ["yes"] * 10 + ["no"] * 10
    columns = {"other": other, "few": few, text: SHORT, label: ["a", "b", "c", "d"] * 5}
    assert _found(_roles(**columns)) == (text, label)


def test_a_whole_name_counts_before_a_part() -> None:
    assert _found(_roles(review_title=SHORT, text=LONG, score_source=MOOD, label=MOOD)) == (
        "text",
        "label",
    )


def test_what_is_about_a_text_is_none() -> None:
    roles = _roles(comment_id=[f"c{n}" for n in range(20)], words=LONG, mood=MOOD)
    assert _found(roles) == ("words", "mood")


def test_a_label_named_so_may_have_any_values() -> None:
    assert _roles(text=LONG, label=[f"class {n}" for n in range(20)]).label == "label"
    assert _roles(text=LONG, mark=[f"class {n}" for n in range(20)]).label is None
    assert _roles(text=LONG, label=[1, 2, 3, 4] * 5).label == "label"


def test_a_label_is_not_constant() -> None:
    assert _roles(text=LONG, version=["v1"] * 20).label is None


def test_without_labels() -> None:
    assert _found(_roles(text=LONG)) == ("text", None)


def test_the_label_may_have_a_text_name() -> None:
    """One column cannot be both."""
    assert _found(_roles(category=MOOD, sentence=LONG)) == ("sentence", "category")
    assert _found(_roles(title=MOOD, label=LONG)) == ("title", "label")


def test_keys_groups_and_subjects() -> None:
    users = ["ann", "bob", "cat", "dan"] * 5
    roles = _roles(id=list(range(20)), user_id=users, group=users, text=LONG, label=MOOD)
    assert (roles.id, roles.subject, roles.group) == ("id", "user_id", "group")
    assert _roles(id=[1] * 20, text=LONG, label=MOOD).id is None
    assert _roles(rownames=list(range(20)), text=LONG, label=MOOD).id is None
    roles = _roles(编号=list(range(20)), 客户=users, 文本=LONG, 标签=MOOD)
    assert (roles.id, roles.subject, roles.label) == ("编号", "客户", "标签")


def test_images() -> None:
    names = [f"photos/{n}.JPG" for n in range(20)]
    task = "image-classification"
    assert _found(_roles(task, where=names, kind=MOOD)) == ("where", "kind")
    assert _found(_roles(task, image=[b"\x89PNG"] * 20, label=MOOD)) == ("image", "label")
    assert _found(_roles(task, 图片=names, 类别=MOOD)) == ("图片", "类别")
    assert _found(_roles(task, text=LONG, file=names, label=MOOD)) == ("file", "label")


@pytest.mark.parametrize("columns", [{}, {"size": [1.0, 2.0]}, {"size": [], "weight": [None]}])
def test_no_input(columns: dict[str, list[Scalar]]) -> None:
    for task in ("text-classification", "image-classification"):
        with pytest.raises(InvalidData) as caught:
            _roles(task, **columns)
        assert all(name in str(caught.value) for name in columns)
