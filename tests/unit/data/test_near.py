"""Near-duplicates: what differs in a letter is found, what says something else is not."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import defaultdict
from contextlib import closing
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feilun.data._near_keys import GAPS_TO, edits, keys
from feilun.data._near_plain import LIMIT, plain
from feilun.data.near import Grouper, NearIndex, groups
from helpers.twins import CHANGES, change, decoy, sentences


def forms(*texts: str) -> list[str]:
    some = plain(texts)
    whole, ends = some.utf8()
    return [
        whole[ends[i] : ends[i + 1]].decode("utf-8", "surrogatepass") for i in range(len(texts))
    ]


def test_plain_forms() -> None:
    assert forms("Hello, World！", "ＨＥＬＬＯ　ｗｏｒｌｄ") == ["helloworld"] * 2
    assert forms("café", "cafe\u0301", "CAFÉ") == ["cafe"] * 3
    assert forms("很好～～", "很 好。", "很好👍") == ["很好", "很好", "很好👍"]
    assert forms("!!!", "", "①②", "한국어", "ﬁne") == ["!!!", "", "12", "한국어", "fne"]
    assert forms("half \ud800 pair")[0] == "half\ud800pair"
    assert len(forms("x" * (LIMIT + 5))[0]) == LIMIT


@pytest.mark.parametrize(
    ("lang", "words"), [("en", 4), ("en", 12), ("en", 70), ("zh", 5), ("zh", 12), ("zh", 60)]
)
def test_planted_twins_are_found_and_decoys_are_not(lang: str, words: int) -> None:
    draw = random.Random(1)
    bases = sentences(300, lang, words)
    rows = [(text, i) for i, text in enumerate(bases)]
    rows += [(change(text, CHANGES[i % 7], draw), i) for i, text in enumerate(bases)]
    rows += [(decoy(text, bases[i - 1]), 1000 + i) for i, text in enumerate(bases)]
    draw.shuffle(rows)
    found = groups(text for text, _ in rows)
    members: dict[int, list[int]] = defaultdict(list)
    for row, group in enumerate(found.tolist()):
        members[group].append(row)
    joined = {pair for group in members.values() for pair in combinations(group, 2)}
    same: dict[int, list[int]] = defaultdict(list)
    for row, (_, origin) in enumerate(rows):
        same[origin].append(row)
    planted = {(a, b) for a, b in (pair for pair in same.values() if len(pair) == 2)}
    assert len(planted) == 300
    assert len(joined & planted) / len(planted) >= 0.95
    assert len(joined & planted) / len(joined) >= 0.95


@given(st.text("abcdefgh好的", min_size=8, max_size=GAPS_TO - 1), st.data())
def test_one_letter_cannot_break_all_keys_of_a_short_text(text: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(text) - 1))
    more = data.draw(st.sampled_from(["", "z", "z" + text[place]]))
    some = keys(plain([text, text[:place] + more + text[place + 1 :]]))
    one, other = (set(row.ravel().tolist()) for row in some.gaps)
    assert one & other
    assert groups([text, text[:place] + more + text[place + 1 :]]).tolist() == [0, 0]


def test_very_short_texts_and_numbers_tell_rows_apart() -> None:
    assert groups(["很好", "不好", "很好！", "很好。"]).tolist() == [0, 1, 0, 0]
    assert groups(["good", "food", "GOOD!"]).tolist() == [0, 1, 0]
    assert groups(["text number 11", "text number 12", "Text number 11."]).tolist() == [0, 1, 0]
    assert groups(["苹果手机第12代不错", "苹果手机第13代不错"]).tolist() == [0, 1]
    assert groups(["", " ", "!!!", "!!!", "???"]).tolist()[2:] == [2, 2, 4]
    long = " ".join(sentences(1, "en", 40))
    assert groups([f"order 123: {long}", f"order 456: {long}"]).tolist() == [0, 0]
    assert [edits(n) for n in (7, 8, 31, 32, 400)] == [0, 1, 1, 2, 25]


def test_groups_do_not_grow_into_chains() -> None:
    text = "the kettle boils over again"
    chain = [text]
    for place, letter in enumerate("zyxwvutsrqponmlkjihg"):
        chain.append(chain[-1][:place] + letter + chain[-1][place + 1 :])
    found = groups(chain)
    assert found[0] == found[1] == 0
    assert len(set(found.tolist())) > 4
    assert found[-1] != 0


def test_the_first_row_leads_and_the_result_does_not_hang_on_the_pieces(tmp_path: Path) -> None:
    draw = random.Random(2)
    texts = [t for lang in ("en", "zh") for t in sentences(200, lang, 9)]
    texts += [change(text, "changed", draw) for text in texts[::2]]
    draw.shuffle(texts)
    whole = groups(texts, spill=tmp_path)
    assert not list(tmp_path.iterdir())
    assert (whole <= np.arange(len(texts))).all()
    assert (whole[whole] == whole).all()
    with closing(Grouper(tmp_path)) as grouper:
        for text in texts:
            grouper.add([text])
        assert list(tmp_path.iterdir())
        assert (grouper.finish() == whole).all()
    assert not list(tmp_path.iterdir())
    assert groups([]).tolist() == []


def test_an_index_answers_as_the_groups_do() -> None:
    draw = random.Random(3)
    known = [t for lang in ("en", "zh") for n in (4, 12, 60) for t in sentences(40, lang, n)]
    index = NearIndex(known)
    assert len(index) == len(known)
    for kind in CHANGES:
        asked = [change(text, kind, draw) for text in known]
        found = index.find_many(asked)
        hits = sum(i in numbers for i, numbers in enumerate(found))
        assert hits >= 0.95 * len(known), kind
        assert all(len(numbers) == 1 for numbers in found if numbers)
    assert index.find("nothing of the kind was ever known") == []
    index.add("nothing of the kind was ever known")
    assert index.find("Nothing of the kind was ever knowm!") == [len(known)]
    assert NearIndex().find("x") == []


_MEMORY = """
import random, resource, sys
from feilun.data.near import groups
groups(["warm up the table", "and the library, please"])
rows = int(sys.argv[1])
def texts():
    draw = random.Random(0)
    for i in range(rows):
        yield "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=60))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
groups(texts())
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.slow
def test_memory_is_some_bytes_a_row() -> None:
    few, many = (
        int(subprocess.run([sys.executable, "-c", _MEMORY, str(rows)], capture_output=True,
                           check=True, text=True).stdout)
        for rows in (10_000, 90_000)
    )  # fmt: skip
    assert (many - few) / 80_000 < 64
