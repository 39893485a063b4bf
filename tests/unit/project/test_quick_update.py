"""An encoder is live, customers name a label that it does not know, and five rows of it answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from feilun.errors import InvalidData
from feilun.feedback.collect import accept
from feilun.pipeline.lineage import trained
from feilun.pipeline.steps.plan import draw
from feilun.project import Workspace
from feilun.project.project import Project
from feilun.store.ledger_records import Prediction
from helpers.bert import write_bert
from helpers.rows import reviews, write_reviews

ASKED = ("when will {} ship to the office", "{}: how much is the shipping", "can {} ship abroad")
THINGS = ("tea", "coffee", "bread")


def _correct(project: Project, texts: Sequence[str], label: str) -> None:
    store = project.workspace.store
    assert project.live is not None
    for text in texts:
        said = {"label": "bad", "score": 0.9}
        row = Prediction(text, 0, text, said, "[]", 0.9, None, project.live.id, "shop", "ada")
        store.ledger.commit([], [row])
        accept(store.catalog, store.ledger, text, 0, label, customer="ada")


@pytest.mark.slow
def test_five_rows_of_a_new_label_answer_until_the_next_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = [one.format(thing) for thing in THINGS for one in ASKED]
    base = write_bert(tmp_path / "base", texts=[*questions, *(text for text, _ in reviews(300))])
    with Workspace(tmp_path / "work") as workspace:
        project = workspace.init("shop", base=str(base))
        more = """
[training.full]
epochs = 8
learning_rate = 3e-3
augment = "off"
[compression]
variants = []
cascade = false
"""
        project.file.write_text(project.file.read_text("utf-8") + more, "utf-8")
        project.add(write_reviews(tmp_path / "reviews.csv", 240, noise=0.0))
        project.run(method="full")
        project.deploy("shop@2", force=True, reason="the encoder shall answer")
        _correct(project, questions[:4], "question")
        assert "5" in project.update(quick=True).reason
        _correct(project, questions[4:5], "question")
        assert "20" in project.update().reason

        quick = project.update(quick=True)
        (made,) = quick.stages
        assert made.method == "prototypes"
        assert quick.promoted, made.reasons
        assert project.live is not None
        version = project.live.record
        assert version.parent == "shop@2"
        assert trained(workspace.store.catalog, version).id == "shop@2"
        right = [one["label"] for one in project.predict(questions[5:]).outputs]
        assert right.count("question") >= 3
        known = [text for text, _ in reviews(40, seed=5, noise=0.0)]
        labels = [label for _, label in reviews(40, seed=5, noise=0.0)]
        said = [one["label"] for one in project.predict(known).outputs]
        assert sum(a == b for a, b in zip(said, labels, strict=True)) >= 36

        planned, _, _ = draw(project.scope.context(), {"live": version.id})
        stage = planned["rungs"][-1]
        # A label without an output of its own is learnt from the base, on all rows.
        assert (stage["method"], stage["previous"], stage["parent"]) == ("full", None, "shop@3")
        assert any("question" in str(note) for note in planned["notes"])


def test_labels_are_answered_by_their_names_and_said_not_to_be_judged(tmp_path: Path) -> None:
    meant = {"great": "lovely delicious perfect fresh", "bad": "stale awful broken tasteless"}
    base = write_bert(tmp_path / "base")
    with Workspace(tmp_path / "work") as workspace:
        project = workspace.init("shop", base=str(base))
        file = tmp_path / "labels.csv"
        words = [(word, label) for label, said in meant.items() for word in said.split()]
        rows = [f"{word} {end},{label}" for word, label in words for end in ("tea", "bread")]
        file.write_text("text,label\n" + "\n".join(rows), "utf-8")
        project.add(file, split="train")
        light = {"compression.variants": ["fp32"], "evaluation.robustness": False}
        ran = project.run(method="prototypes", overrides=light)
        (stage,) = ran.stages
        assert ran.promoted
        assert "nothing is known of how right it is" in " ".join(stage.reasons)
        answers = project.predict(["bread delicious", "bread awful"]).outputs
        assert [one["label"] for one in answers] == ["great", "bad"]
        with pytest.raises(InvalidData, match="no test row has a label"):
            project.run(method="linear")
