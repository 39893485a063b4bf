"""Corpora of language models: what is read, left out and hidden; and the model of n-grams."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from feilun import InvalidData
from feilun.config import DataConfig
from feilun.data.reading import open_readings
from feilun.data.sources import Source
from feilun.data.versions import build
from feilun.engines._bytes import ByteModel
from feilun.families.likelihood import ITSELF, LIKELIHOOD, Read
from feilun.metrics.bits import Bits
from feilun.modalities.text.documents import LONGEST, hidden, joined, parted, words_of
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.training.corpus import documents

TASK = tasks.get("language-model")
TEA = "绿茶是一种不发酵的茶，产于山区，冲泡时水温不宜过高，第{}壶的味道最好。"


def _texts(number: int) -> list[str]:
    lots = np.random.default_rng(number)
    words = ("tea", "river", "stone", "walks", "slowly", "house", "under", "bright", "the", "of")
    return [" ".join(lots.choice(words, 20).tolist()) + f" {n}." for n in range(number)]


def _read(path: Path, **settings: object) -> tuple[list[tuple[object, object]], dict[str, int]]:
    (reading,) = open_readings(Source(path), TASK.bound(settings))
    rows = [(one.item, one.label) for one in reading]
    return rows, reading.table.details.get("left_out", {})


def test_documents_are_read_from_every_kind_of_corpus(tmp_path: Path) -> None:
    texts = _texts(8)
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    for n, text in enumerate(texts):
        (tmp_path / "folder" / ("inner" if n % 2 else ".") / f"{n}.md").write_text(text, "utf-8")
    (tmp_path / "lines.txt").write_text("\n".join(texts), "utf-8")
    rows = "\n".join(json.dumps({"content": text, "n": 1}) for text in texts)
    (tmp_path / "rows.jsonl").write_text(rows, "utf-8")
    pages = "".join(
        f"<page><title>T{n}</title><ns>0</ns><id>{n}</id><revision><text>{text}</text></revision>"
        "</page>"
        for n, text in enumerate(texts)
    )
    (tmp_path / "dump.xml").write_text(f"<mediawiki>{pages}</mediawiki>", "utf-8")
    wanted = {(text, ITSELF) for text in texts}
    for name in ("folder", "lines.txt", "rows.jsonl", "dump.xml"):
        assert set(_read(tmp_path / name)[0]) == wanted, name


def test_what_follows_a_prompt_may_stand_in_a_column(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    rows = [{"text": "The kettle stands on", "completion": "the stove."}] * 2
    file.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert _read(file)[0][0] == ("The kettle stands on", "the stove.")
    assert joined("The kettle stands on", "the stove.") == ("The kettle stands on the stove.")
    assert joined("水壶放在", "炉子上。") == "水壶放在炉子上。"
    assert joined("The kettle", ", he said") == "The kettle, he said"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Too short.", "likelihood.short"),
        ("0x3f 88 17 -- == || 0x11 77 __ ++ && %% 12 13 14", "likelihood.signs"),
        ("Read more about it\n" * 20, "likelihood.repeated_lines"),
        ("of the tea and " * 20, "likelihood.repeated_runs"),
        ("Чай растёт в горах и любит дожди.", "likelihood.other_language"),
        ("Der Tee wächst im Gebirge, liebt Regen, scheut Frost.", "likelihood.other_language"),
        (TEA.format(1), None),
        ("The tea grows in the mountains and is fond of rain.", None),
    ],
)
def test_documents_are_left_out_by_name(tmp_path: Path, text: str, why: str | None) -> None:
    (tmp_path / "one.jsonl").write_text(json.dumps({"text": text}), "utf-8")
    rows, left = _read(tmp_path / "one.jsonl", languages=("zh", "en"))
    assert left == ({} if why is None else {why: 1})
    assert bool(rows) == (why is None)


def test_a_language_that_cannot_be_told_is_refused() -> None:
    with pytest.raises(InvalidData) as caught:
        TASK.bound({"languages": ["tlh"]})
    assert caught.value.code == "likelihood.unknown_language"


def test_a_long_text_is_several_documents_of_one_split() -> None:
    book = "\n\n".join(f"Paragraph {n}. " + "It goes on. " * 30 for n in range(900))
    parts = parted(book)
    assert len(parts) > 2
    assert max(map(len, parts)) <= LONGEST
    assert "".join("".join(parts).split()) == "".join(book.split())
    assert all(part.startswith("Paragraph") for part in parts)


def test_held_out_documents_are_no_near_duplicates_and_doubles_are_learnt_once(
    tmp_path: Path,
) -> None:
    texts = _texts(200)
    doubled = [text.replace("tea", "Tea", 1) for text in texts[:60]]
    (tmp_path / "corpus.txt").write_text("\n".join([*texts, *doubled, *texts[:5]]), "utf-8")
    out = tmp_path / "version"
    sources = [Source(tmp_path / "corpus.txt")]
    made = build(sources, task=TASK, settings=DataConfig(), out=out)
    data = Dataset(out)
    assert made.duplicates >= 5
    said = {notice.code: notice.params["rows"] for notice in made.warnings if notice.params}
    assert said["splits.near_out"] + made.duplicates == 65
    plain = [str(one.item).casefold() for one in data.examples()]
    assert len(set(plain)) == len(plain) == 200
    assert data.size("test") > 5
    more = tmp_path / "more.txt"
    more.write_text("\n".join([*doubled, *_texts(210)[200:]]), "utf-8")
    again = build(
        [Source(more)], task=TASK, settings=DataConfig(), out=tmp_path / "next", previous=data
    )
    assert again.new == 10


@pytest.mark.parametrize("text", [TEA.format(2) * 4, " ".join(_texts(6))])
def test_what_is_hidden_is_words_and_always_the_same(text: str) -> None:
    words = set(words_of(text))
    for objective in ("masked", "spans"):
        places = hidden(text, objective)
        assert places == hidden(text, objective)
        share = sum(b - a for a, b in places) / len(text)
        assert 0.08 < share < 0.25
        assert all(a[1] <= b[0] for a, b in pairwise(places))
        starts, ends = {a for a, _ in words}, {b for _, b in words}
        assert all(a in starts and b in ends for a, b in places)
    assert set(hidden(text, "masked")) <= words
    assert hidden(text, "causal") == [(0, len(text))]
    assert hidden("", "masked") == []


def test_ngrams_are_probabilities_and_predict_what_they_read() -> None:
    texts = [*_texts(80), *(TEA.format(n) for n in range(40))]
    model = ByteModel.of(texts)
    text = TEA.format(7).encode()
    nats = model.nats(text)
    assert len(nats) == len(text) + 1
    for place in (0, 1, 3, 9, 40):
        likely = model.following(text[:place])
        assert likely.sum() == pytest.approx(1)
        assert likely.min() > 0
        assert -math.log(likely[text[place]]) == pytest.approx(nats[place])
    assert nats.sum() / math.log(2) / len(text) < 0.5
    odd = "𠮷野家 naïve \x00".encode()
    assert np.isfinite(model.nats(odd)).all()


def test_an_end_of_one_document_says_nothing_about_the_next() -> None:
    texts = _texts(50)
    one, other = ByteModel.of(texts), ByteModel.of(texts[::-1])
    for left, right in zip(one.keys + one.ends, other.keys + other.ends, strict=True):
        assert np.array_equal(left, right)


def test_bits_are_of_all_rows_together() -> None:
    bits = Bits(np.array([8 * math.log(2), 0.0]), np.array([1.0, 3.0]))
    assert bits.replicates(np.array([[1.0, 1.0], [1.0, 0.0]]))["bits_per_byte"] == (
        pytest.approx([2.0, 8.0])
    )
    assert bits.each == pytest.approx([8.0, 0.0])
    nothing = Bits(np.zeros(1), np.zeros(1))
    assert np.isnan(nothing.replicates(np.ones((1, 1)))["bits_per_byte"]).all()
    with pytest.raises(ValueError, match="not finite"):
        Bits(np.array([np.inf]), np.ones(1))


def test_an_answer_has_what_its_objective_gives() -> None:
    decode = LIKELIHOOD.decoder(None, {})  # type: ignore[arg-type]
    raw = np.empty(2, dtype=object)
    raw[0] = Read(8 * math.log(2), 4, "stove.")
    fill = {"score": 0.5, "token": 7, "token_str": "tea", "sequence": "A tea."}
    raw[1] = Read(0.0, 0, "A tea.", ((fill,),))
    first, second = decode(raw, True)
    assert first == {"generated_text": "stove.", "bits_per_byte": 2.0}
    assert second == {"generated_text": "A tea.", "fill_mask": [[fill]]}
    assert not LIKELIHOOD.differ(first, {**first, "generated_text": "x"}).same


def test_a_correction_is_learnt_after_its_text(tmp_path: Path) -> None:
    texts = _texts(20)
    rows = [{"text": one, "completion": ""} for one in texts]
    rows.append({"text": "第一壶茶的", "completion": "味道最好。"})
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    build([Source(tmp_path / "rows.jsonl")], task=TASK, settings=DataConfig(), out=tmp_path / "v")
    data = Dataset(tmp_path / "v")
    learnt = [text for part in ("train", "validation", "test") for text in documents(data, part)]
    assert "第一壶茶的味道最好。" in learnt
