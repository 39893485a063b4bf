"""Cleaning: each step on both languages, a recipe that meets later rows too, the frozen test."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feilun.data.clean.mending import DROPPED, Mending, remembered
from feilun.data.clean.named import read_named
from feilun.data.clean.recipe import cleaning, kept, read_recipe, to_toml
from feilun.data.clean.steps import is_blank
from feilun.data.outcome import BuildReport
from feilun.data.sources import ExampleSource, Source
from feilun.errors import EnvironmentProblem, FeilunError, InvalidData, InvalidSettings, NotFound
from feilun.store.dataset import Dataset
from feilun.types import Example, Split
from helpers.builds import build_version, images_task, texts_task
from helpers.pictures import write_digits
from helpers.rows import reviews

Rows = Sequence[tuple[str, str]]


def write(file: Path, rows: Rows, header: Sequence[str] = ("text", "label")) -> Path:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)
    return file


def version(
    folder: Path,
    rows: Rows,
    previous: Dataset | None = None,
    split: Split | None = None,
    **more: Any,
) -> tuple[Dataset, BuildReport]:
    file = write(folder.with_suffix(".csv"), rows)
    return build_version(folder, Source(file, split=split), previous=previous, **more)


def clean(
    previous: Dataset, out: Path, vault: Path | None = None, **steps: Any
) -> tuple[Dataset, BuildReport]:
    one = cleaning(**steps)
    named = read_named(texts_task(), one.relabel, one.drop_rows)
    mending = Mending([one], named=named, vault=vault)
    return build_version(out, previous=previous, mending=mending)


def texts(data: Dataset, split: Split | None = None) -> list[str]:
    return [str(example.item) for example in data.examples(split)]


def labels(data: Dataset) -> dict[str, str | None]:
    return {str(example.item): example.label for example in data.examples()}


def done(report: BuildReport) -> dict[str, int]:
    return {step.step: step.rows for step in report.mended}


@pytest.fixture
def first(tmp_path: Path) -> Dataset:
    return version(tmp_path / "v1", reviews(200))[0]


# Labels


def test_labels_are_renamed_and_merged_in_the_old_rows_and_in_later_ones(tmp_path: Path) -> None:
    rows = [(text, label if n % 4 else f"{label}!") for n, (text, label) in enumerate(reviews(200))]
    first, _ = version(tmp_path / "v1", rows)
    assert first.schema.labels == ("bad", "bad!", "great", "great!")
    second, report = clean(
        first,
        tmp_path / "v2",
        rename_labels={"bad": "差评"},
        merge_labels={"bad!": "差评", "great!": "great"},
    )
    assert second.schema.labels == ("差评", "great")
    counts = Counter(label for _, label in rows)
    merged = counts["bad!"] + counts["great!"]
    assert done(report) == {"rename_labels": counts["bad"], "merge_labels": merged}
    expected = {text: "差评" if label.startswith("bad") else "great" for text, label in rows}
    assert labels(second) == expected
    assert {e.item: e.split for e in second.examples()} == {
        e.item: e.split for e in first.examples()
    }
    third, report = version(
        tmp_path / "v3", [("brand new tea, 很好喝", "great!"), ("never!", "bad")], second
    )
    assert labels(third)["brand new tea, 很好喝"] == "great"
    assert labels(third)["never!"] == "差评"
    assert third.schema.labels == ("差评", "great")
    assert report.new_labels == ()
    assert done(report) == {"rename_labels": 1, "merge_labels": 1}


def test_feedback_goes_through_the_recipe_too(tmp_path: Path, first: Dataset) -> None:
    second, _ = clean(first, tmp_path / "v2", rename_labels={"bad": "poor"}, mask=("phone",))
    said = ExampleSource(
        "feedback",
        [
            Example("fb_" + "a" * 32, "打电话 13812345678 也没人接", "bad", source="feedback"),
            Example("fb_" + "b" * 32, texts(second)[0], "great", source="feedback"),
        ],
    )
    third, report = build_version(tmp_path / "v3", said, previous=second)
    row = next(e for e in third.examples() if "没人接" in str(e.item))
    assert (row.item, row.label) == ("打电话 【电话】 也没人接", "poor")
    assert not row.row_id.startswith("fb_"), "an id made of the content tells what the mask hides"
    assert labels(third)[texts(second)[0]] == "great"
    assert done(report) == {"rename_labels": 1, "mask": 1}


def test_a_dropped_label_does_not_come_back(tmp_path: Path) -> None:
    rows = [*reviews(100), *[(f"spam 广告 {n}", "spam") for n in range(30)]]
    first, _ = version(tmp_path / "v1", rows)
    second, report = clean(first, tmp_path / "v2", drop_labels=("spam",))
    assert second.schema.labels == ("bad", "great")
    assert len(second) == 100
    assert report.mended[0].test == first.counts["test"]["spam"] > 0
    third, report = version(tmp_path / "v3", [("spam 新广告", "spam"), ("new 新", "great")], second)
    assert len(third) == 101
    assert done(report) == {"drop_labels": 1}


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ({"merge_labels": {"Great": "great"}}, "clean.unknown_label"),
        ({"merge_labels": {"bad": "good"}}, "clean.unknown_label"),
        ({"rename_labels": {"awful": "bad"}}, "clean.unknown_label"),
        ({"rename_labels": {"bad": "great"}}, "clean.name_taken"),
        ({"drop_labels": ("spam",)}, "clean.unknown_label"),
        ({"merge_labels": {"bad": "great", "great": "bad"}}, "clean.merge_chain"),
    ],
)
def test_labels_that_are_not_there_are_refused(
    tmp_path: Path, first: Dataset, steps: dict[str, Any], code: str
) -> None:
    with pytest.raises(InvalidData) as caught:
        clean(first, tmp_path / "v2", **steps)
    assert caught.value.code == code
    assert caught.value.hint()


def test_two_names_can_change_places(tmp_path: Path, first: Dataset) -> None:
    second, _ = clean(first, tmp_path / "v2", rename_labels={"bad": "great", "great": "bad"})
    turned = {"bad": "great", "great": "bad"}
    assert labels(second) == {text: turned[str(label)] for text, label in labels(first).items()}


# Masks


def test_masks_speak_the_language_of_the_text_and_merge_what_becomes_equal(tmp_path: Path) -> None:
    numbers = [f"1391234{n:04d}" for n in range(40)]
    rows = [
        *reviews(100),
        *[(f"请打 {number} 退款", "bad") for number in numbers[:20]],
        *[(f"call {number} for a refund", "bad") for number in numbers[20:]],
    ]
    first, _ = version(tmp_path / "v1", rows)
    second, report = clean(first, tmp_path / "v2", mask=("phone", "email"))
    assert report.mended[0].rows == 40
    assert report.mended[0].by == {"phone": 40}
    (chinese,) = [e for e in second.examples() if "退款" in str(e.item)]
    (english,) = [e for e in second.examples() if "refund" in str(e.item)]
    assert chinese.item == "请打 【电话】 退款"
    assert english.item == "call [PHONE] for a refund"
    assert not any(number in text for number in numbers for text in texts(second))
    was = {e.row_id for e in first.examples() if "退款" in str(e.item)}
    assert chinese.row_id not in was, "an id made of the content tells what the mask hides"


def test_of_rows_that_become_equal_the_one_in_the_test_split_stands(tmp_path: Path) -> None:
    first, _ = version(
        tmp_path / "v1", [*reviews(60), ("打 13812345678", "bad"), ("打 13912345678", "great")]
    )
    more, _ = version(tmp_path / "v2", [("打 13712345678", "great")], first, split="test")
    masked, report = clean(more, tmp_path / "v3", mask=("phone",))
    (row,) = [e for e in masked.examples() if "打" in str(e.item)]
    assert (row.split, row.label) == ("test", "great")
    assert masked.size("test") == more.size("test")
    assert report.duplicates == 2


def test_a_user_s_own_id_stays(tmp_path: Path) -> None:
    rows = [
        ("打 13812345678", "bad", "order-7"),
        *[(text, label, f"o{n}") for n, (text, label) in enumerate(reviews(40))],
    ]
    file = write(tmp_path / "a.csv", rows, ("text", "label", "id"))  # type: ignore[arg-type]
    first, _ = build_version(tmp_path / "v1", file)
    second, _ = clean(first, tmp_path / "v2", mask=("phone",))
    assert second.row_ids() == first.row_ids()
    assert texts(second)[0] == "打 【电话】"


def test_reversible_masks_are_the_same_for_the_same_and_come_back(tmp_path: Path) -> None:
    from feilun.data.clean.mask import unmask
    from feilun.store.vault import Vault

    rows = [
        *reviews(60),
        ("打 138-1234-5678", "bad"),
        ("再打 13812345678", "bad"),
        ("call 13812345678", "bad"),
    ]
    first, _ = version(tmp_path / "v1", rows)
    vault = tmp_path / "vault.db"
    second, report = clean(first, tmp_path / "v2", vault, mask=("phone",), reversible=True)
    assert vault.stat().st_mode & 0o777 == 0o600
    masked = [text for text in texts(second) if "_" in text]
    letters = {text.partition("_")[2].rstrip("】]") for text in masked}
    assert len(masked) == 3
    assert len(letters) == 1, "one number has one pseudonym, however it is written"
    assert not any("1234" in text for text in masked)
    with closing(Vault(vault)) as said:
        back = [unmask(text, said.value) for text in masked]
    assert [text for text, _, _ in back] == [
        "打 138-1234-5678",
        "再打 138-1234-5678",
        "call 138-1234-5678",
    ]
    assert all((known, lost) == (1, 0) for _, known, lost in back)
    third, _ = build_version(
        tmp_path / "v3",
        Source(
            write(tmp_path / "more.csv", [("又打 13812345678", "bad"), ("打 13900001111", "bad")])
        ),
        previous=second,
        mending=Mending(vault=vault),
    )
    assert sum(letters.copy().pop() in text for text in texts(third)) == 4
    assert report.recipe[0]["vault"]
    assert "1234" not in json.dumps(third.info, ensure_ascii=False)


def test_without_its_vault_a_reversible_recipe_takes_nothing(
    tmp_path: Path, first: Dataset
) -> None:
    vault = tmp_path / "vault.db"
    second, _ = clean(first, tmp_path / "v2", vault, mask=("phone",), reversible=True)
    vault.rename(tmp_path / "away.db")
    more = Source(write(tmp_path / "more.csv", [("打 13900001111", "bad")]))
    with pytest.raises(EnvironmentProblem) as caught:
        build_version(tmp_path / "v3", more, previous=second, mending=Mending(vault=vault))
    assert caught.value.code == "vault.gone"
    clean(first, tmp_path / "v4", vault, mask=("phone",), reversible=True)  # another key
    with pytest.raises(EnvironmentProblem) as caught:
        build_version(tmp_path / "v5", more, previous=second, mending=Mending(vault=vault))
    assert caught.value.code == "vault.other"
    assert caught.value.hint()


def test_a_masked_text_is_not_masked_again(tmp_path: Path) -> None:
    from feilun.data.clean.mask import Masker
    from feilun.data.personal import KINDS

    said: dict[str, str] = {}

    def letters(kind: str, value: str) -> str:
        return said.setdefault(value, "bcdfghjkmnpq")

    for mask in (Masker(KINDS), Masker(KINDS, letters)):
        text, _ = mask("张三 13812345678, zhang@example.com, 身份证 11010519491231002X")
        assert mask(text) == (text, {})
        assert "zhang" not in text


# Texts


@pytest.mark.parametrize(
    ("text", "blank"),
    [
        ("…！？", True),
        ("nan", True),
        ("\u200b\u3000", True),
        ("👍", False),
        (":(", False),
        (";-)", False),
        ("(:", False),
        ("好", False),
        ("7", False),
    ],
)
def test_what_says_nothing(text: str, blank: bool) -> None:
    assert is_blank(text) is blank


def test_empty_and_long_texts_go_and_stay_away(tmp_path: Path) -> None:
    rows = [*reviews(100), ("。。。", "bad"), ("长" * 400, "bad"), ("long " * 80, "great")]
    first, _ = version(tmp_path / "v1", rows)
    second, report = clean(first, tmp_path / "v2", drop_empty=True, drop_long=200)
    assert done(report) == {"drop_empty": 1, "drop_long": 2}
    assert len(second) == 100
    third, report = version(
        tmp_path / "v3", [("!!!", "bad"), ("长" * 300, "bad"), ("好茶", "great")], second
    )
    assert done(report) == {"drop_empty": 1, "drop_long": 1}
    assert len(third) == 101


# Rows together


def twins(count: int) -> list[tuple[str, str]]:
    """Reviews, half of them a second time with other punctuation, width or one letter."""
    rows = reviews(count, noise=0)
    again = [
        (text.replace(",", "，").upper() if n % 2 else text + "!!", label)
        for n, (text, label) in enumerate(rows[: count // 2])
    ]
    return [*rows, *again]


def test_near_duplicates_go_from_training_never_from_test(tmp_path: Path) -> None:
    rows = [
        (f"{n} 号商品的评价：质量不错，物流也快，值得再次购买，推荐给朋友们", "great")
        for n in range(1)
    ]
    base = [*reviews(120), *rows]
    first, _ = version(tmp_path / "v1", base)
    copies = [(text + "！", label) for text, label in base[:40]]
    kept_apart, _ = version(tmp_path / "v2", copies, first, settings=_apart(), split="train")
    tests = set(texts(kept_apart, "test"))
    second, report = clean_apart(kept_apart, tmp_path / "v3", drop_duplicates="near")
    assert set(texts(second, "test")) == tests
    assert report.mended[0].step == "drop_duplicates"
    assert report.mended[0].test == 0
    near_test = {text + "！" for text in tests}
    assert not near_test & set(texts(second, "train"))
    more = [(text + "。", label) for text, label in base[:20]]
    third, report = version(
        tmp_path / "v4", [*more, ("完全不同的一句话，从没出现过", "bad")], second, settings=_apart()
    )
    assert done(report) == {"drop_duplicates": 20}
    assert len(third) == len(second) + 1


def _apart() -> Any:
    """Settings under which near-duplicates are not kept together by the division itself."""
    from feilun.config import DataConfig

    return DataConfig(near_duplicates=False)


def clean_apart(previous: Dataset, out: Path, **steps: Any) -> tuple[Dataset, BuildReport]:
    mending = Mending([cleaning(**steps)])
    return build_version(out, previous=previous, mending=mending, settings=_apart())


def test_exact_means_case_width_and_space(tmp_path: Path) -> None:
    rows = [*reviews(60), ("Ｇｏｏｄ  tea", "great"), ("good TEA", "great"), ("good teas", "great")]
    first, _ = version(tmp_path / "v1", rows, settings=_apart())
    second, report = clean_apart(first, tmp_path / "v2", drop_duplicates="exact")
    assert done(report) == {"drop_duplicates": 1}
    left = [text for text in texts(second) if "ea" in text.casefold() and len(text) < 12]
    assert (
        len([t for t in texts(second) if t.casefold().endswith(("tea", "teas")) and len(t) < 12])
        == 2
    )
    assert "good teas" in left


def test_conflicting_rows_go_and_stay_away(tmp_path: Path) -> None:
    pair = [
        ("这款茶叶的味道真的非常好喝，会回购", "great"),
        ("这款茶叶的味道真的非常好喝，会回购！", "bad"),
    ]
    first, _ = version(tmp_path / "v1", [*reviews(80), *pair], settings=_apart(), split="train")
    second, report = clean_apart(first, tmp_path / "v2", drop_conflicts=True)
    assert done(report)["drop_conflicts"] == 2 + _conflicts_among(first, pair)
    assert not any("回购" in text for text in texts(second))
    assert remembered(second.folder) == done(report)["drop_conflicts"]
    third, report = version(
        tmp_path / "v3", [pair[0], ("新的一条", "bad")], second, settings=_apart()
    )
    assert not any("回购" in text for text in texts(third))
    assert done(report) == {"drop_rows": 1}
    assert (third.folder / DROPPED).read_bytes() == (second.folder / DROPPED).read_bytes()


def _conflicts_among(data: Dataset, pair: Rows) -> int:
    """Rows beside `pair` that are near-duplicates of one another with different labels."""
    from feilun.data.near import groups

    rows = [(str(e.item), e.label) for e in data.examples() if str(e.item) not in dict(pair)]
    of = groups([text for text, _ in rows])
    mixed = [g for g in np.unique(of) if len({rows[i][1] for i in np.flatnonzero(of == g)}) > 1]
    return int(np.isin(of, mixed).sum())


# Rows by name


def test_a_reviewed_file_relabels_and_drops_also_in_test(tmp_path: Path, first: Dataset) -> None:
    test = list(first.examples("test"))
    train = list(first.examples("train"))
    turned = {e.row_id: "bad" if e.label == "great" else "great" for e in (test[0], train[0])}
    rows = [(id_, label, "是") for id_, label in turned.items()]
    rows += [
        (test[1].row_id, "bad", "no"),
        (train[1].row_id, "", "删除"),
        (train[2].row_id, "", ""),
    ]
    file = write(tmp_path / "reviewed.csv", rows, ("row_id", "label", "keep"))  # type: ignore[arg-type]
    second, report = clean(first, tmp_path / "v2", relabel=str(file))
    (step,) = report.mended
    assert (step.rows, step.test, step.test_dropped) == (4, 2, 1)
    now = {e.row_id: e.label for e in second.examples()}
    assert turned.items() <= now.items()
    assert test[1].row_id not in now
    assert train[1].row_id not in now
    assert now[train[2].row_id] == train[2].label
    # The same file of rows once more: what was mended stays mended.
    third, again = version(tmp_path / "v3", [*reviews(200), ("one more 一条", "bad")], second)
    assert len(third) == len(second) + 1
    assert done(again) == {"drop_rows": 2}
    assert turned.items() <= {e.row_id: e.label for e in third.examples()}.items()
    assert any(notice.code == "formats.labels_stay" for notice in again.warnings)


def test_rows_are_dropped_by_a_list_and_stay_away(tmp_path: Path, first: Dataset) -> None:
    names = first.row_ids()[:5]
    file = tmp_path / "bad.jsonl"
    file.write_text("".join(json.dumps({"row_id": name}) + "\n" for name in names), "utf-8")
    second, report = clean(first, tmp_path / "v2", drop_rows=str(file), mask=("phone",))
    assert done(report) == {"drop_rows": 5}
    assert not set(names) & set(second.row_ids())
    third, _ = version(tmp_path / "v3", [*reviews(200), ("one more 一条", "bad")], second)
    assert len(third) == 196


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("row_id,keep\nx,no\n", "clean.file_lacks"),
        ("name,label\nx,bad\n", "clean.file_lacks"),
        ("row_id,label,keep\nx,bad,maybe\n", "clean.bad_keep"),
        ("row_id,label\nx,bad\nx,great\n", "clean.named_twice"),
    ],
)
def test_a_file_that_says_nothing_clear_is_refused(tmp_path: Path, text: str, code: str) -> None:
    file = tmp_path / "said.csv"
    file.write_text(text, "utf-8")
    with pytest.raises(InvalidData) as caught:
        read_named(texts_task(), str(file), None)
    assert caught.value.code == code


# The recipe


def test_the_recipe_grows_and_is_kept_without_paths(tmp_path: Path, first: Dataset) -> None:
    file = write(tmp_path / "bad.csv", [(first.row_ids()[0],)], ("row_id",))  # type: ignore[list-item]
    second, _ = clean(first, tmp_path / "v2", drop_rows=str(file))
    third, report = clean(second, tmp_path / "v3", drop_empty=True, rename_labels={"bad": "poor"})
    expected = [{"drop_rows": "bad.csv"}, {"rename_labels": {"bad": "poor"}, "drop_empty": True}]
    assert [dict(row) for row in report.recipe] == expected == third.info["recipe"]
    mending = Mending(forget=True)
    fourth, _ = build_version(tmp_path / "v4", previous=third, mending=mending)
    assert "recipe" not in fourth.info
    assert remembered(fourth.folder) == 0
    assert texts(fourth) == texts(third)


def test_a_recipe_travels_as_a_file(tmp_path: Path) -> None:
    passes = [
        cleaning(
            mask=("phone", "id"), drop_long=500, merge_labels={"Great ": "great", "好 评": "好评"}
        ),
        cleaning(drop_duplicates="near", drop_conflicts=True, drop_labels=("spam",)),
    ]
    file = tmp_path / "recipe.toml"
    file.write_text(to_toml(kept(passes)), "utf-8")
    assert read_recipe(file) == passes
    file.write_text('drop_duplicates = "exact"\nrelabel = "reviewed.csv"\n', "utf-8")
    (one,) = read_recipe(file)
    assert (one.drop_duplicates, one.relabel) == ("exact", str(tmp_path / "reviewed.csv"))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('drop_duplicates = "almost"', InvalidSettings),
        ("drop_long = 0", InvalidSettings),
        ("wash = true", InvalidSettings),
        ("clean = 1", InvalidSettings),
        ("= 1", InvalidSettings),
        ('mask = ["shoe size"]', InvalidData),
        ("drop_empty = false", InvalidData),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(
    tmp_path: Path, text: str, kind: type[FeilunError]
) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(kind) as caught:
        read_recipe(file)
    assert caught.value.message("zh")
    with pytest.raises(NotFound):
        read_recipe(tmp_path / "none.toml")


def test_pictures_are_cleaned_by_name_and_label_alone(tmp_path: Path) -> None:
    first, _ = build_version(tmp_path / "v1", write_digits(tmp_path / "d", 80), task=images_task())
    with pytest.raises(InvalidData) as caught:
        build_version(
            tmp_path / "v2",
            task=images_task(),
            previous=first,
            mending=Mending([cleaning(mask=("phone",), drop_duplicates="near")]),
        )
    assert caught.value.code == "clean.needs_texts"
    mending = Mending([cleaning(merge_labels={"0": "8"}, drop_duplicates="exact")])
    second, report = build_version(
        tmp_path / "v3", task=images_task(), previous=first, mending=mending
    )
    assert second.schema.labels == tuple("123456789")
    zeros = sum(e.label == "0" for e in first.examples())
    assert done(report) == {"merge_labels": zeros}
    assert [e.item for e in second.examples()] == [e.item for e in first.examples()]
