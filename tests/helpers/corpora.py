"""A small corpus in two languages."""

from __future__ import annotations

from pathlib import Path

import numpy as np

__all__ = ["write_corpus"]

WORDS = ("the", "tea", "grows", "slowly", "under", "a", "bright", "river", "and", "keeps", "stones")


def write_corpus(folder: Path, rows: int = 300) -> Path:
    """A text file of each language, a line a document."""
    lots = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    english = [f"{' '.join(lots.choice(WORDS, 12).tolist())} {n}." for n in range(rows)]
    chinese = [
        f"第{n}壶{''.join(lots.choice(['绿茶', '红茶', '白茶'], 2).tolist())}产于"
        f"{lots.choice(['山区', '河边', '平原'])}，冲泡{n}分钟后味道很好。"
        for n in range(rows)
    ]
    (folder / "en.txt").write_text("\n".join(english), "utf-8")
    (folder / "zh.txt").write_text("\n".join(chinese), "utf-8")
    return folder
