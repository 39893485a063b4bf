"""Chinese news, and the persons, places and organisations in it (`feilun.demo.news`). Nothing that
ships in a package marks names in English: both languages see these."""

from __future__ import annotations

from pathlib import Path

from feilun.demo.news import paragraphs
from feilun.demo.sample import Sample, csv_sample, divided

__all__ = ["write"]

_KINDS = {
    "zh": {"nr": "人名", "ns": "地名", "nt": "机构"},
    "en": {"nr": "PER", "ns": "LOC", "nt": "ORG"},
}
_ROWS = 2800
_SETTINGS = "[training]\ntime_limit = 1.5\nfolds = 0\n"


def write(folder: Path, lang: str) -> Sample:
    """Both files."""
    kinds = _KINDS["zh" if lang == "zh" else "en"]
    rows = [
        [text, [[start, end, kinds[kind]] for start, end, kind in names if kind in kinds]]
        for text, names in paragraphs()
    ]
    some, _ = divided(rows, _ROWS)
    columns = {"text": "text", "label": "entities"}
    return csv_sample(folder, "token-classification", "news", columns, ["text", "entities"], some,
                  testing=400, traffic=400, settings=_SETTINGS)  # fmt: skip
