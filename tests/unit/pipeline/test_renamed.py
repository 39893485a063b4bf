"""A version is judged by what its labels are called now."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from feilun.families.base import Answers
from feilun.families.classes import CLASSES
from feilun.families.classes.point import Point, point_of
from feilun.families.classes.rule import Rule
from feilun.families.classes.sheet import align
from feilun.metrics.probabilities import softmax
from feilun.pipeline.steps._renamed import renamed
from feilun.project import Workspace
from helpers.rows import write_reviews

POINT = Point(1.7, Rule("Great", 0.3))


def test_merged_labels_share_their_probability() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    said = Answers("live", "linear", ("bad", "Great", "great"), logits, POINT.to_json())
    cleanings = [{"rename_labels": {"bad": "差评"}}, {"merge_labels": {"Great": "great"}}]
    now = renamed(CLASSES, said, cleanings)
    assert now.labels == ("差评", "great")
    assert point_of(now.point).rule == Rule("great", 0.3)
    before, after = softmax(logits, 1.7), align(now, now.labels)
    np.testing.assert_allclose(after[:, 0], before[:, 0], atol=1e-6)
    np.testing.assert_allclose(after[:, 1], before[:, 1] + before[:, 2], atol=1e-6)
    assert renamed(CLASSES, said, [{"drop_empty": True}]) is said


def test_names_that_change_places() -> None:
    said = Answers("live", "linear", ("bad", "great"), np.array([[2.0, 0.0]], np.float32))
    now = renamed(CLASSES, said, [{"rename_labels": {"bad": "great", "great": "bad"}}])
    assert now.labels == ("great", "bad")
    np.testing.assert_allclose(now.raw, said.raw)


@pytest.mark.slow
def test_renaming_a_label_makes_no_version_wrong(workspace_dir: Path) -> None:
    with Workspace(workspace_dir) as workspace:
        project = workspace.init("reviews")
        text = project.file.read_text("utf-8")
        project.file.write_text(text + "\n[task]\nfeature_bits = 12\n", "utf-8")
        project.add(write_reviews(workspace_dir / "a.csv", 300))
        project.train(method="linear")
        project.clean(rename_labels={"bad": "poor"})
        project.train(method="linear")
        catalog = workspace.store.catalog
        catalog.set_live("reviews", "reviews@1", reason="", actor="test")
        judged = project.evaluate("reviews@2")
        (live,) = [r for r in judged.reasons if "live" in r] or [""]
        assert judged.rows == sum(catalog.data_version("reviews:2").counts["test"].values())
        assert f"{judged.rows} test rows" in live, "every row can be compared, renamed ones too"
