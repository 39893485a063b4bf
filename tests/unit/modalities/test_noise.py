"""Disturbances: seeded, label-preserving in what they touch, and whole items again afterwards."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from feilun.modalities.text import noise
from feilun.tasks.base import get, names

ENGLISH = "The coffee isn't excellent (3.5 stars!) and arrived in two days."
CHINESE = "质量很好，下次还会再来买面条。"
TEXT = get("text-classification").disturbances()
PICTURE = get("image-classification").disturbances()


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("task", names())
def test_every_change_is_seeded_and_gives_an_item_that_the_task_takes(task: str) -> None:
    found = get(task).disturbances()
    for name, change in found.items():
        assert change.name == name
        for item in get(task).example_items():
            first, second = change(item, draw()), change(item, draw())
            assert first == second
            assert get(task).check(first) == first


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
@pytest.mark.parametrize("name", sorted(TEXT))
def test_a_text_is_changed_where_there_is_something_to_change(name: str, text: str) -> None:
    changed = str(TEXT[name](text, draw()))
    idle = {("script", ENGLISH), ("case", CHINESE)}
    assert (changed == text) == ((name, text) in idle)


@pytest.mark.parametrize("name", sorted(TEXT))
@pytest.mark.parametrize("text", ["", " ", "a", "好", "!", "ok\u0301 👍🏽", "\ud7ff\uffff"])
def test_texts_that_hold_nothing_survive(name: str, text: str) -> None:
    assert isinstance(TEXT[name](text, draw()), str)


def test_slips_are_few_and_the_rest_of_the_text_stays() -> None:
    text = " ".join(["wonderful"] * 1000)
    words = str(TEXT["typo"](text, draw())).split()
    slipped = [word for word in words if word != "wonderful"]
    assert len(words) == 1000
    assert 60 < len(slipped) < 140
    assert all(word[0] == "w" and 8 <= len(word) <= 10 for word in slipped)


def test_a_chinese_slip_sounds_alike() -> None:
    """Neighbours of one sound in the list that is sorted by it."""
    near = noise._homophones()
    assert len(near) == 3755
    assert "狠" in near["很"]
    assert "郝" in near["好"]
    text = CHINESE * 100
    changed = str(TEXT["typo"](text, draw()))
    assert len(changed) == len(text)
    slips = [(a, b) for a, b in zip(text, changed, strict=True) if a != b]
    assert 0.02 < len(slips) / len(text) < 0.08
    assert all(b in near[a] for a, b in slips)


def test_width_and_script_turn_both_ways() -> None:
    assert TEXT["width"]("Ａ１，好。", draw()) == "A1,好."
    assert TEXT["width"]("A1", draw()) == "Ａ１"
    assert TEXT["script"]("面条和头发", draw()) == "麪條和頭髮"
    assert TEXT["script"]("頭髮", draw()) == "头发"


def test_marks_inside_words_and_numbers_stay() -> None:
    assert TEXT["punctuation"]("Don't pay 3.5, “ever”!", draw()) == "Don't pay 3.5 ever"
    assert TEXT["punctuation"]("好，真的！", draw()) == "好真的"
    assert TEXT["punctuation"]("!!!", draw()) == "!!!", "nothing would be left"


def test_what_may_turn_a_label_round_is_not_safe() -> None:
    assert not TEXT["words"].safe
    assert not PICTURE["flip"].safe
    assert all(one.safe for name, one in TEXT.items() if name != "words")


def picture(side: int = 48) -> bytes:
    pixels = np.full((side, side, 3), 230, np.uint8)
    pixels[side // 4 : side // 2, side // 3 : -side // 8] = (30, 90, 200)
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG")
    return written.getvalue()


@pytest.mark.parametrize("name", sorted(PICTURE))
def test_a_picture_keeps_its_size_and_most_of_what_it_shows(name: str) -> None:
    before = np.asarray(Image.open(io.BytesIO(picture())), np.float32)
    opened = Image.open(io.BytesIO(bytes(PICTURE[name](picture(), draw()))))  # type: ignore[arg-type]
    after = np.asarray(opened, np.float32)
    assert after.shape == before.shape
    change = np.abs(after - before).mean()
    assert 0.5 < change < 60
    again = np.asarray(Image.open(io.BytesIO(bytes(PICTURE[name](picture(), draw(1))))), np.float32)  # type: ignore[arg-type]
    random = name not in ("blur", "jpeg", "flip")
    assert (np.abs(after - again).mean() > 0) == random


def test_a_photograph_is_brought_to_a_bearable_size() -> None:
    changed = PICTURE["light"](picture(2000), draw())
    assert Image.open(io.BytesIO(changed)).size == (1024, 1024)  # type: ignore[arg-type]
