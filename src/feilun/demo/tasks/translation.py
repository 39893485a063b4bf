"""The sentences of feilun itself, which stand in its package in English and Chinese: what a program
says, with its placeholders. ``en`` translates the English ones into Chinese, ``zh`` the Chinese
ones into English."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from feilun import messages
from feilun.demo.sample import Sample, csv_sample

__all__ = ["write"]


def write(folder: Path, lang: str) -> Sample:
    """Both files."""
    source, target = ("zh", "en") if lang == "zh" else ("en", "zh")
    rows = dict(_pairs(source, target))
    return csv_sample(
        folder,
        "translation",
        "sentences",
        {"text": source, "label": target},
        [source, target],
        list(rows.items()),
        testing=400,
        traffic=400,
        settings=f'[task]\nsource = "{source}"\ntarget = "{target}"\n',
    )


def _pairs(source: str, target: str) -> Iterator[tuple[str, str]]:
    every = messages.keys()
    for key in every:
        for words in (messages.raw(key), messages.raw(key).get("hint", {})):
            if source in words and target in words and words[source] != words[target]:
                yield words[source], words[target]
