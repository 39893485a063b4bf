"""The report: what it shows is what was computed, it stands alone, and nothing in it runs."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from feilun import messages
from feilun.evaluation.facts import DataFacts, Facts, TrainingFacts, VariantFacts
from feilun.evaluation.forgetting import forgetting
from feilun.evaluation.gate import Decision, decide
from feilun.evaluation.report import render, write_report
from feilun.evaluation.result import Evaluation, Forgetting
from feilun.families.classes import CLASSES
from feilun.metrics.scores import Score
from feilun.render.wording import level
from feilun.types import Schema
from helpers.judged import SETTINGS, answers, flipped, judged
from helpers.page import Page

LABELS = ("good", "bad")
EVIL = "<script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>\"'&{{ 7*7 }}"
TRUTH = np.arange(200) % 2
NOT_HERE = {
    "evaluation.report_confusion_many",
    "evaluation.report_modalities",  # of tables with texts or pictures: test_task_table_blocks
    "evaluation.report_modalities_lead",
}


FRONTIER = [
    {
        "name": f"reviews@{cost}",
        "variant": "int8",
        "cost": cost / 1e6,
        "score": {"value": 0.8, "low": 0.75, "high": 0.85},
        "frontier": cost == 1,
        "chosen": cost == 1,
    }
    for cost in (1, 3)
]


def _whole(text: str = "text") -> tuple[Evaluation, Decision, Forgetting, Facts]:
    """An update's report with every section."""
    live = answers(LABELS, flipped(TRUTH, range(60), 2), name="reviews@1", method="head")
    new = answers(LABELS, flipped(TRUTH, range(50, 70), 2), temperature=1.5)
    items = [f"{text} {row}" for row in range(200)]
    found = judged(
        LABELS,
        TRUTH,
        new,
        {"live": live, "baseline": CLASSES.constant({"good": 5}, LABELS, 200)},
        items=items,
        validation=(new.raw[:100], TRUTH[:100]),
    )
    kept = forgetting(
        live,
        new,
        TRUTH,
        items=items,
        row_ids=[str(row) for row in range(200)],
        schema=Schema("text-classification", LABELS),
        settings=SETTINGS,
        old_rows={str(row) for row in range(150)},
    )
    facts = Facts(
        project="reviews",
        created="2026-03-04",
        data=DataFacts("data@2", {"train": {"good": 90, "bad": 70}}, (text,), (text,)),
        training=TrainingFacts("full", "minilm", {"seconds": 12.5, "odd": 1.0}, {"lr": 1e-4}),
        variants=(
            VariantFacts("fp32", Score(0.9, 0.85, 0.93), size=91_000_000),
            VariantFacts("int8", None, 0.002, 4, 0, 1.9, 1696.0, 23_600_000, chosen=True),
        ),
        frontier={"metric": "accuracy", "currency": "USD", "points": FRONTIER},
    )
    return found, decide(found, forgetting=kept), kept, facts


def _page(text: str = "text", lang: messages.Language = "en") -> str:
    found, decision, kept, facts = _whole(text)
    return render(found, decision, facts=facts, forgetting=kept, lang=lang)


def test_the_metrics_shown_are_those_computed() -> None:
    found, decision, _, _ = _whole()
    page = render(found, decision)
    for metric, score in found.metrics.items():
        assert score is not None
        shown = [level(metric, value) for value in (score.value, score.low, score.high)]
        assert f"<b>{shown[0]}</b>" in page
        assert f"{shown[1]} – {shown[2]}" in page
    other = found.against("live")
    assert other is not None
    assert f"+{other.gain['accuracy'].value * 100:.1f}" in page


def test_the_files_hold_the_same(tmp_path: Path) -> None:
    found, decision, kept, facts = _whole()
    path = write_report(found, decision, tmp_path / "report", facts=facts, forgetting=kept)
    assert path == tmp_path / "report" / "report.html"
    assert sorted(p.name for p in path.parent.iterdir()) == ["report.html", "report.json"]
    raw = json.loads((path.parent / "report.json").read_text("utf-8"))
    assert Evaluation.from_json(raw["evaluation"]) == found
    assert Decision.from_json(raw["decision"]) == decision
    assert Forgetting.from_json(raw["forgetting"]) == kept
    assert raw["facts"]["data"]["version"] == "data@2"
    assert "reviews@2" in raw["verdict"]["zh"]["headline"]
    assert path.read_text("utf-8") == render(found, decision, facts=facts, forgetting=kept)


def test_nothing_is_loaded_and_nothing_runs() -> None:
    page = Page(_page(EVIL))
    assert not {"script", "iframe", "object", "embed", "form", "base"} & set(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on"), name
        if name in {"src", "href", "action", "data", "srcset", "xlink:href"}:
            assert value.startswith("data:"), value
    styles = re.findall(r"<style>(.*?)</style>", _page(), re.DOTALL)
    assert len(styles) == 1
    assert "url(" not in styles[0]
    assert "@import" not in styles[0]
    policy = dict(page.attributes)
    assert "default-src 'none'" in next(v for _, v in page.attributes if "default-src" in v)
    assert "script-src" not in str(policy)


def test_what_comes_from_data_is_text() -> None:
    """In rows, sources, notes, and as a label in tables, drawings and sentences."""
    page = Page(_page(EVIL))
    assert "img" not in page.tags
    shown = "".join(text for _, text in page.words)
    assert EVIL in shown
    labels = (EVIL, "b", "c")
    truth = np.arange(90) % 3
    found = judged(labels, truth, answers(labels, flipped(truth, range(40), 3)))
    page = Page(render(found, decide(found)))
    assert not {"script", "img"} & set(page.tags)
    assert EVIL in "".join(text for _, text in page.words)


def test_both_languages_are_complete() -> None:
    """Without one language's parts, no word of it is left outside what data gave."""
    page = Page(_page())
    english = " ".join(text for lang, text in page.words if lang.startswith("en"))
    chinese = "".join(text for lang, text in page.words if lang.startswith("zh"))
    for key in messages.keys():  # noqa: SIM118
        sentence = messages._sentence(key)
        if not key.startswith("evaluation.report_") or "{" in sentence["en"]:
            continue
        if key not in NOT_HERE:
            assert sentence["en"] in english, key
            assert sentence["zh"] in chinese, key
    assert not re.search(r"[\u4e00-\u9fff]", english)
    assert "{" not in english + chinese


@pytest.mark.parametrize("lang", messages.LANGUAGES)
def test_the_language_asked_for_is_shown_first(lang: messages.Language) -> None:
    page = _page(lang=lang)
    checked = re.findall(r'id="lang-(\w\w)"[^>]* checked', page)
    assert checked == [lang]
    messages.use(lang)
    found, decision, _, _ = _whole()
    assert re.findall(r'id="lang-(\w\w)"[^>]* checked', render(found, decision)) == [lang]


def test_chinese_stays_whole_and_long_texts_fold() -> None:
    page = _page("这家店的服务态度非常好，下次还会再来。" * 200)
    assert page.count("<details>") >= 20
    assert "这家店的服务态度非常好" in page
    assert "&#" not in re.sub(r"&#(34|39);", "", page)


def test_a_hundred_labels_stay_readable() -> None:
    labels = [f"kind {i}" for i in range(100)]
    truth = np.arange(2000) % 100
    found = judged(labels, truth, answers(labels, flipped(truth, range(0, 2000, 3), 100)))
    page = render(found, decide(found))
    assert len(page) < 200_000
    assert 'class="heat"' not in page
    assert page.count('<td class="name">kind') == 40
    small = judged(LABELS, TRUTH, answers(LABELS, TRUTH))
    assert 'class="heat"' in render(small, decide(small))


def test_pictures_lie_inside() -> None:
    written = io.BytesIO()
    Image.effect_noise((8, 8), 60).save(written, "PNG")
    items = [written.getvalue()] * 100 + [b"broken"] * 100
    truth, wrong = TRUTH, [0, 1, 199]
    found = judged(LABELS, truth, answers(LABELS, flipped(truth, wrong, 2)), items=items)
    page = render(found, decide(found))
    assert page.count('<img src="data:image/png;base64,') == 2
    assert messages.t("evaluation.miss_no_picture", "zh") in page


def test_no_error_no_comparison_no_facts() -> None:
    """The barest report: a first version without a fault."""
    found = judged(LABELS, TRUTH, answers(LABELS, TRUTH))
    page = render(found, decide(found))
    Page(page)
    assert messages.t("evaluation.verdict_perfect") in page
    assert messages.t("evaluation.report_misses") not in page
    assert messages.t("evaluation.report_compared") not in page


def test_a_version_of_several_roles_is_shown_once() -> None:
    other = answers(LABELS, flipped(TRUTH, range(60), 2), name="reviews@1", method="linear")
    new = answers(LABELS, flipped(TRUTH, range(20), 2))
    found = judged(LABELS, TRUTH, new, {"live": other, "below": other, "baseline": other})
    assert [one.role for one in found.comparisons] == ["live", "below", "baseline"]
    page = render(found, decide(found))
    assert page.count("<h3>reviews@1") == 1
    assert all(messages.t(f"evaluation.role_{role}") in page for role in ("live", "below"))


def test_a_report_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, decision, kept, facts = _whole()
    page = write_report(found, decision, tmp_path, facts=facts, forgetting=kept)
    before = page.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(found, decision, tmp_path)
    assert page.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "report.json"]
