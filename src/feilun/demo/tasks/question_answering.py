"""The handbook of a small shop, a document for each of its articles, and what customers ask: the
shop of the demonstration of `chat`. Here nothing is learnt from answers, which stand in the
documents; a few questions with their answers judge."""

from __future__ import annotations

import csv
import random
from pathlib import Path

from feilun.demo.sample import Sample, divided
from feilun.demo.tasks.chat import shop

__all__ = ["write"]

_NAMES = {
    "en": ("handbook", ("question", "answer", "document", "passage"), "Handbook"),
    "zh": ("shouce", ("问题", "答案", "文档", "原文"), "商品手册"),
}
_SETTINGS = """[task]
passage_tokens = 60
overlap_tokens = 0
"""
_TESTING, _LEARNING, _TRAFFIC = 200, 120, 100


def write(folder: Path, lang: str) -> Sample:
    """Both files. The training file begins with the documents, as rows without a question."""
    lang = "zh" if lang == "zh" else "en"
    name, head, title = _NAMES[lang]
    draw = random.Random(0)
    documents, asked = [], []
    for article, facts in shop(lang):
        said = list(facts)
        draw.shuffle(said)
        text = ("" if lang == "zh" else " ").join(said)
        documents.append(("", "", f"{title}/{article}.md", text))
        asked += [(one, answer, "", "") for answer, ones in facts.items() for one in ones]
    judging, rest = divided(asked, _TESTING)
    files = folder / f"{name}.csv", folder / "testing.csv"
    rows = [*documents, *rest[: _LEARNING + _TRAFFIC]]
    for file, kept in zip(files, (rows, judging), strict=True):
        with file.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([head, *kept])
    columns = {"question": head[0], "label": head[1]}
    return Sample(*files, name, columns, "question-answering", _TRAFFIC, _SETTINGS)
