"""ROUGE as its paper defines it, also for Chinese; sentences; which of them make a summary."""

from __future__ import annotations

import numpy as np
import pytest

from feilun.engines.extractive import order
from feilun.metrics.comparison import scores, values
from feilun.metrics.summaries import Summaries, rouge, rouge_tokens
from feilun.modalities.text.sentences import join, sentences
from feilun.training.methods.extractive import _chosen


def test_rouge_is_that_of_the_paper() -> None:
    """The examples of Lin (2004): sections 2 (bigrams) and 3.1 (longest common subsequences)."""
    reference = rouge_tokens("police killed the gunman")
    near, far = rouge_tokens("police kill the gunman"), rouge_tokens("the gunman kill police")
    assert rouge(reference, near) == pytest.approx((3 / 4, 1 / 3, 3 / 4))
    assert rouge(reference, far) == pytest.approx((3 / 4, 1 / 3, 2 / 4))
    # Recall 4 of 4, precision 4 of 6, of words; case and signs are none.
    long = rouge_tokens("Police killed, at last, the GUNMAN!")
    assert rouge(reference, long)[0] == pytest.approx(2 * (4 / 6) / (1 + 4 / 6))
    assert rouge(reference, []) == rouge([], reference) == (0, 0, 0)
    assert rouge(["a", "a", "b"], ["a"])[0] == pytest.approx(2 / 4)  # repeated words count once


def test_chinese_counts_by_characters() -> None:
    true, said = rouge_tokens("今天下雨"), rouge_tokens("今天有雨")
    assert true == ["今", "天", "下", "雨"]
    assert rouge(true, said) == pytest.approx((3 / 4, 1 / 3, 3 / 4))
    assert rouge_tokens("Ｐｙｔｈｏｎ 3.11 很快_了") == ["python", "3", "11", "很", "快", "了"]


def test_rows_weigh_as_they_are_drawn() -> None:
    truth = ["police killed the gunman", "今天下雨", "nothing"]
    told = Summaries(truth, ["police kill the gunman", "今天有雨", ""], [True, True, False])
    found = values(told)
    assert found["rouge_l"] == pytest.approx((3 / 4 + 3 / 4 + 0) / 3)
    assert found["rouge2"] == pytest.approx((1 / 3 + 1 / 3 + 0) / 3)
    assert found["length_ratio"] == 1.0
    drawn = told.replicates(np.array([[0, 3, 0], [0, 0, 1]], float))
    assert drawn["rouge1"] == pytest.approx([3 / 4, 0])
    part = told.take(np.array([True, True, False]))
    assert values(part)["rouge_l"] == pytest.approx(3 / 4)
    assert told.each.tolist() == pytest.approx([3 / 4, 3 / 4, 0])
    assert tuple(scores(told, resamples=50)) == tuple(Summaries.higher_is_better)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("今天下雨。我在家！“真的吗？”她问。", ["今天下雨。", "我在家！", "“真的吗？”", "她问。"]),
        ("It rains. Mr. Fox paid $3.50 at 5 p.m. today. Why?",
         ["It rains.", "Mr. Fox paid $3.50 at 5 p.m. today.", "Why?"]),
        ("A headline\n\nThe text begins. It ends", ["A headline", "The text begins.", "It ends"]),
        ("no end", ["no end"]),
        (" \n ", []),
        ("第一句。Second one. 第三句", ["第一句。", "Second one.", "第三句"]),
    ],
)  # fmt: skip
def test_where_sentences_end(text: str, found: list[str]) -> None:
    assert sentences(text) == found
    assert "".join(join(found).split()) == "".join(text.split())


def test_rankings_find_what_a_document_is_about() -> None:
    text = (
        "Good morning to everybody. The new bridge over the river opens on Monday. "
        "The bridge over the river took four years. Cars may cross the new bridge from Monday. "
        "Coffee was served."
    )
    found = sentences(text)
    assert order(found, "lead") == [0, 1, 2, 3, 4]
    for ranking in ("centroid", "textrank"):
        places = order(found, ranking)
        assert sorted(places) == [0, 1, 2, 3, 4]
        assert set(places[:3]) == {1, 2, 3}
    assert order(["one"], "textrank") == [0]
    assert order([], "centroid") == []
    assert len(order(["the same words"] * 300, "textrank")) == 200


def test_the_first_ranking_stays_unless_another_is_clearly_better() -> None:
    chance = np.random.default_rng(0)
    scores_ = np.full((2, 3, 100), 0.2)
    scores_[0, 1] = 0.3 + chance.normal(0, 0.1, 100)
    scores_[1, 2] = 0.305 + chance.normal(0, 0.1, 100)
    assert _chosen(scores_) == (0, 1)
    scores_[1, 2] += 0.1
    assert _chosen(scores_) == (1, 2)
