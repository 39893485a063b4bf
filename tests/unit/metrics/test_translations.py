"""Scores of translations beside sacrebleu's, and what counts as a placeholder."""

from __future__ import annotations

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from feilun.metrics.comparison import gains, scores, values
from feilun.metrics.placeholders import kept, placeholders, slots
from feilun.metrics.translations import Translations

ENGLISH = (
    ('Cannot open the file "%s": it isn\'t there.', "Could not open file %s: not there."),
    ("Delete 3,500 files & folders?", "Delete 3,500 folders & files?"),
    ("The quick-brown fox (1990-95) costs $5.20.", "A quick brown fox (1990-95) costs $5.20!"),
    ("Nothing in common", "Gar kein Wort"),
    ("&quot;Yes&quot; &amp; no", '"Yes" & no'),
)
CHINESE = (
    ("无法打开文件“%s”：文件不存在。", "不能打开文件 %s：它不存在。"),
    ("确定要删除 3 个文件吗？", "要删除3个文件吗？"),
    ("使用 Python 3.11 以上的版本", "请使用Python 3.11或更高版本"),
    ("退出", "退出"),
)


@pytest.mark.parametrize(("pairs", "tokens"), [(ENGLISH, "13a"), (CHINESE, "zh")])
def test_the_scores_are_those_of_sacrebleu(pairs: tuple[tuple[str, str], ...], tokens: str) -> None:
    truth, written = (list(side) for side in zip(*pairs, strict=True))
    found = values(Translations(truth, written, [True] * len(truth)))
    bleu = BLEU(tokenize=tokens).corpus_score(written, [truth]).score
    chrf = CHRF().corpus_score(written, [truth]).score
    assert found["bleu"] == pytest.approx(bleu / 100, abs=1e-9)
    assert found["chrf"] == pytest.approx(chrf / 100, abs=1e-9)
    for one, other in pairs:  # also where n-grams are missing, row by row
        single = values(Translations([one], [other], [True]))["bleu"]
        bleu = BLEU(tokenize=tokens).corpus_score([other], [[one]]).score
        assert single == pytest.approx(bleu / 100, abs=1e-9)


def test_chinese_is_not_one_long_word() -> None:
    told = Translations(["今天天气很好，我们去公园"], ["今天天气很好，我们去学校"], [True])
    assert values(told)["bleu"] == pytest.approx((10 / 12 * 9 / 11 * 8 / 10 * 7 / 9) ** 0.25)


def test_rows_weigh_as_they_are_drawn() -> None:
    truth, written = (list(side) for side in zip(*ENGLISH, strict=True))
    answered = [True, True, True, True, False]
    told = Translations(truth, written, answered)
    weights = np.array([[0, 2, 0, 1, 0], [1, 0, 0, 0, 1]], float)
    drawn = told.replicates(weights)
    doubled = Translations(
        [truth[1], truth[1], truth[3]], [written[1], written[1], written[3]], [True] * 3
    )
    for name, value in values(doubled).items():
        expected = float("nan") if value is None else value
        assert drawn[name][0] == pytest.approx(expected, nan_ok=True), name
    part = told.take(np.array([False, True, False, True, False]))
    assert tuple(values(part)) == tuple(Translations.higher_is_better)
    for score in scores(told, resamples=200).values():
        assert score is not None
        assert 0 <= score.low <= score.value <= score.high <= 1


def test_rows_without_placeholders_keep_none() -> None:
    truth = ["Hello", "Hi %s", "See <b>here</b>", "Bye {name}", "Again %d"]
    written = ["你好 %s", "你好%s", "见<b>这里", "再见{name}", ""]
    told = Translations(truth, written, [True, True, True, True, False])
    found = scores(told)["placeholders_kept"]
    assert found is not None
    assert found.value == 0.5  # of four answered rows with any, one lost and one invented some
    assert (found.low, found.high) == pytest.approx((0.150, 0.850), abs=1e-3)
    none = Translations(["Hello"], ["你好"], [True])
    assert values(none)["placeholders_kept"] is None
    assert scores(none)["placeholders_kept"] is None
    one = Translations(["Hello", "%s"], ["你好", "%s"], [True, True])  # half the draws have none
    gain = gains(one, one, resamples=50)["placeholders_kept"]
    assert (gain.low, gain.value, gain.high) == (0, 0, 0)
    assert values(Translations(["abcd"], ["ab"], [True]))["length_ratio"] == 0.5


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("%s of %1$d, %(name)s, %-5.2lf and %@", ["%s", "%1$d", "%(name)s", "%-5.2lf", "%@"]),
        (
            "{} {0:.2f} {name} ${HOME} {{count}}",
            ["{}", "{0:.2f}", "{name}", "${HOME}", "{{count}}"],
        ),
        ("Press <b>Save</b> &amp; go<br/>", ["<b>", "</b>", "&amp;", "<br/>"]),
        ("%1 and %n, 100%% sure", ["%1", "%n"]),
        ("50% done, 5 % of all, 3 < 5 and a > b", []),
        ("见 https://a.b/c?d=1，或写信给 a.b@c.cn。", ["https://a.b/c?d=1", "a.b@c.cn"]),
        ("在%d个文件中找到“%s”", ["%d", "%s"]),
    ],
)
def test_what_a_placeholder_is(text: str, found: list[str]) -> None:
    assert [one.text for one in slots(text) if one.kind != "number"] == found
    assert placeholders(text).total() == len(found)


def test_order_may_change_where_places_are_numbered() -> None:
    assert kept("%s in %d files", "%2$d 个文件中的 %1$s")
    assert kept("{} of {}", "{1} 中的 {0}")
    assert kept("{a} and {b}", "{b}和{a}")
    assert not kept("%s in %d files", "%d 个文件中的 %s")  # which would take one for the other
    assert not kept("%s in %s", "%s")
    assert [one.text for one in slots("v1.2 of 3,500 at 10:30")] == ["1.2", "3,500", "10:30"]


def test_a_word_in_brackets_is_no_tag() -> None:
    assert kept("<unknown>", "<未知>")
    assert kept("<pid> [-a]", "<进程号> [-a]")
    assert not kept("<my-app>x</my-app>", "x")
    assert not kept('<key name="x">', "键")
    assert not kept("<x/> here", "这里")
