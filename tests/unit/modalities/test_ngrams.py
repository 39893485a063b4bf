"""The linear baseline's n-grams: the vectorised hashing counts what a plain loop counts."""

from __future__ import annotations

import math
import re
import time
import unicodedata
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from feilun.modalities.text.ngrams import LONGEST, NGrams

TEXTS = [
    "Great product, GREAT price!",
    "",
    "   ",
    "x",
    "!!! ... ---",
    "质量很好，下次还会再来。iPhone15很不错",
    "ひらがなとカタカナ",
    "한국어 문장입니다",
    "สวัสดีครับ ขอบคุณ",
    "fi ligature, ｆｕｌｌｗｉｄｔｈ, Ⅷ, é and e\u0301",
    "emoji 😀😀 and 𠮷野家, 𝔣𝔯𝔞𝔨𝔱𝔲𝔯",
    "tabs\tand\n\nnewlines\u3000everywhere ",
    "a" * 5000,
    "word " * 700,
]


def _plain(text: str) -> Counter[str]:
    """The n-grams of `text` by the rules of the module, one at a time."""
    text = f" {' '.join(unicodedata.normalize('NFKC', text).lower().split())} "
    found: Counter[str] = Counter()
    for size in range(1, LONGEST + 1):
        found.update(text[start : start + size] for start in range(len(text) - size + 1))
    words = []
    alone = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff"
    alone += "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    for match in re.finditer(rf"[{alone}]|[^\W_{alone}]|\w|\S", text):
        start = match.start()
        letter = text[start]
        if unicodedata.category(letter)[0] not in "LNM" and ord(letter) <= 0xFFFF:
            continue
        single = ord(letter) > 0xFFFF or re.fullmatch(f"[{alone}]", letter) is not None
        joins = bool(words) and words[-1][1] == start and not single and not words[-1][2]
        if joins:
            words[-1] = (words[-1][0] + letter, start + 1, False)
        else:
            words.append((letter, start + 1, single))
    names = [word for word, _, _ in words]
    found.update(f"<{word}>" for word in names)
    found.update(f"<{a} {b}>" for a, b in pairwise(names))
    return found


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_it_counts_what_a_loop_counts(text: str) -> None:
    features = NGrams(22)  # so many columns that these few n-grams hardly share one
    columns = features.grams(text)
    counts = _plain(text)
    assert set(columns) == set(counts)
    row = np.zeros(features.size, np.float32)
    summed: Counter[int] = Counter()
    for gram, count in counts.items():
        summed[columns[gram]] += count
    for column, count in summed.items():
        weight = 2 if column >= features.size // 2 else 1
        row[column] = (1 + math.log(count)) * weight
    found = features.transform([text]).toarray()[0]
    np.testing.assert_allclose(found, row, rtol=1e-6)


@pytest.mark.parametrize("bits", [10, 16, 20, 24])
def test_rows_do_not_depend_on_their_neighbours(bits: int) -> None:
    """Nor on how texts fall into chunks: some here are larger than one."""
    features = NGrams(bits)
    texts = [*TEXTS, "long " * 30_000, *TEXTS, *["short"] * 5_000]
    together = features.transform(texts)
    assert together.shape == (len(texts), 1 << bits)
    assert together.has_sorted_indices
    for index in (*range(2 * len(TEXTS) + 1), len(texts) - 1):
        alone = features.transform([texts[index]])
        assert (together[index] != alone).nnz == 0
        assert np.all(np.diff(alone.indices) > 0)


def test_columns_are_used_evenly() -> None:
    words = [f"{a}{b}{c}{d}" for a in "abcdefghij" for b in "klmno" for c in "pqrst" for d in "uvw"]
    features = NGrams(16)
    grams: dict[str, int] = {}
    for word in words:
        grams.update(features.grams(word))
    chars = {g: c for g, c in grams.items() if not g.startswith("<")}
    names = {g: c for g, c in grams.items() if g.startswith("<")}
    half = features.size // 2
    assert max(chars.values()) < half <= min(names.values())
    for part in (chars, names):
        expected = half * (1 - math.exp(-len(part) / half))  # distinct columns by pure chance
        assert len(set(part.values())) == pytest.approx(expected, rel=0.04)


def test_order_of_words_matters() -> None:
    features = NGrams()
    one, two = features.transform(["dog bites man", "man bites dog"])
    assert (one != two).nnz > 0


def test_case_width_and_spacing_do_not() -> None:
    rows = NGrams().transform(["Good  Coffee", "ｇｏｏｄ coffee\n", " GOOD COFFEE"])
    assert (rows[0] != rows[1]).nnz == 0
    assert (rows[0] != rows[2]).nnz == 0


@pytest.mark.slow
def test_it_is_fast() -> None:
    """A loose bound on any machine; measured against scikit-learn it is 13 times faster."""
    texts = ["The quick brown fox jumps over the lazy dog near the river bank. " * 6] * 1000
    features = NGrams()
    features.transform(texts[:10])
    start = time.process_time()
    features.transform(texts)
    assert time.process_time() - start < 1.0
