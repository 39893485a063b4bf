"""Golden requests compare the serving path with what it hands on."""

from __future__ import annotations

import random
from pathlib import Path

from feilun.project import Workspace
from helpers.rows import reviews


def test_a_table_with_texts_goes_live(tmp_path: Path) -> None:
    """A blank text is an empty cell, which a model answers by what rows have in the middle."""
    lot = random.Random(1)

    def stars(label: str) -> int:
        return (5 if label == "great" else 1) + 2 * lot.randrange(-1, 2)

    with Workspace(tmp_path) as workspace:
        project = workspace.init("shop", task="tabular-classification")
        rows = reviews(240, 1, noise=0.2)
        project.add([{"review": text, "stars": stars(said), "label": said} for text, said in rows])
        settings = {"evaluation.robustness": False, "training.linear.parts": False}
        (stage,) = project.run(method="linear", overrides=settings).stages
        assert stage.promoted, stage.reasons
        full, blank = (
            project.predict({"review": text, "stars": 3}, all_scores=True).outputs[0]["scores"]
            for text in ("", "bad bread, never again")
        )
        assert full != blank
