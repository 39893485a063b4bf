"""Why an answer is what it is: exact sums for the linear baseline, left-out parts for anything
else."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from feilun.engines.base import open_engine
from feilun.engines.explain import Explanation, explain
from feilun.modalities.pieces import MOST, of_picture, of_text, word_pieces
from feilun.modalities.text.ngrams import NGrams, origins
from feilun.tasks.base import get
from helpers.serving import write_linear, write_pictures

TEXTS = [
    "This is a great thing, but Broken  and fine!",
    "  很好，喜欢。 ",
    "e\u0301cole BAD \ufb01ne",
    "한국어 좋다 bad",
    "½ price, GREAT İstanbul",
    "great " * 300,
]


def _why(folder: Path, text: str) -> Explanation:
    engine = open_engine(folder)
    try:
        found = explain(engine, text)
    finally:
        engine.close()
    assert found is not None
    return found


@pytest.mark.parametrize("text", TEXTS)
def test_exact_weights_add_up_to_the_log_odds(tmp_path: Path, text: str) -> None:
    write_linear(tmp_path, temperature=3.0)
    found = _why(tmp_path, text)
    engine = open_engine(tmp_path)
    scores = engine.predict([text], all_scores=True)[0]["scores"]
    assert found.method == "exact"
    wanted = math.log(scores[found.label] / scores[found.other])
    assert sum(found.weights) == pytest.approx(wanted, abs=1e-4)


def test_the_words_that_decide_stand_out(tmp_path: Path) -> None:
    write_linear(tmp_path)
    found = _why(tmp_path, "a great thing with broken parts")
    weights = dict(zip([found.text[a:b] for a, b in found.spans], found.weights, strict=True))
    assert found.label in ("good", "bad")
    sign = 1 if found.label == "good" else -1
    assert max(weights, key=lambda word: sign * weights[word]) == "great"
    assert min(weights, key=lambda word: sign * weights[word]) == "broken"


def test_leaving_words_out_agrees_with_the_exact_weights(tmp_path: Path) -> None:
    """The same text by both ways: the word that speaks most is the same."""
    from feilun.engines.explain import _contrast, _occluded, _questions

    write_linear(tmp_path, temperature=3.0)
    text = "the delivery was excellent although the box looked old"
    exact = _why(tmp_path, text)
    engine = open_engine(tmp_path)
    pieces = of_text(text)
    assert pieces is not None
    outputs = engine.predict(_questions(pieces), all_scores=True)
    contrast = _contrast(engine, outputs[0], exact.label, exact.other)
    assert contrast is not None
    other = _occluded(outputs, pieces, contrast)
    assert other.method == "occlusion"
    assert other.spans == exact.spans
    first = max(range(len(exact.weights)), key=exact.weights.__getitem__)
    assert max(range(len(other.weights)), key=other.weights.__getitem__) == first


def test_pictures_are_explained_by_squares(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    engine = open_engine(tmp_path)
    item = get("image-classification").example_items()[0]
    found = explain(engine, item)
    assert found is not None
    assert found.grid == (8, 8)
    lines = found.to_output()["grid"]
    assert [len(line) for line in lines] == [8] * 8
    assert any(weight for line in lines for weight in line)


def test_a_square_left_out_changes_only_itself() -> None:
    import io

    from PIL import Image

    item = get("image-classification").example_items()[0]
    assert isinstance(item, bytes)
    pieces = of_picture(item)
    whole, without = pieces.whole, pieces.without(9)
    assert isinstance(whole, bytes)
    assert isinstance(without, bytes)
    first, second = (Image.open(io.BytesIO(data)).convert("RGB") for data in (whole, without))
    width, height = first.size
    for x in range(width):
        for y in range(height):
            inside = x * 8 // width == 1 and y * 8 // height == 1
            if not inside:
                assert first.getpixel((x, y)) == second.getpixel((x, y))


def test_chinese_is_explained_by_words() -> None:
    text = "物流很快，质量也不错。iPhone 手机好"
    found = [text[start:end] for start, end in word_pieces(text)]
    assert found == ["物流", "很快，", "质量", "也", "不错。", "iPhone", "手机", "好"]
    # A character outside the basic plane, and the scripts that are not segmented.
    assert [e - s for s, e in word_pieces("吃𠮷野家")] == [1, 1, 2]
    assert len(word_pieces("가격이 좋다")) == 2
    # Every character belongs to one part, whatever the segmenter knows.
    rare = "㐀㐁龘靐 " * 3 + "物流" * 200
    spans = word_pieces(rare)
    assert "".join(rare[s:e] for s, e in spans).replace(" ", "") == rare.replace(" ", "")
    assert len(spans) <= MOST


def test_words_cover_the_text_and_are_not_too_many() -> None:
    assert word_pieces("") == []
    assert word_pieces(" !! ") == [(1, 3)]
    assert word_pieces("Oh no, really?") == [(0, 2), (3, 6), (7, 14)]
    text = "word " * 1000
    spans = word_pieces(text)
    assert len(spans) <= MOST
    assert "".join(text[a:b] for a, b in spans).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("text", TEXTS)
def test_every_character_knows_where_it_comes_from(text: str) -> None:
    normal, starts, ends, columns = NGrams(16).places(text)
    found = origins(text)
    assert len(found) == len(normal)
    assert (found[1:] >= found[:-1]).all()
    assert set(NGrams(16).grams(text).values()) == set(columns.tolist())
    assert (starts < ends).all()
