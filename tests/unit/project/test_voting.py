"""Labelling from nothing: who is asked what, what is decided, and that it becomes data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from feilun.errors import InvalidData, NotFound, UsageError
from feilun.project import Project, Workspace
from helpers.rows import reviews

ROWS = reviews(40, noise=0.0)
TRUTH = dict(ROWS)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with Workspace(tmp_path) as workspace:
        made = workspace.init("reviews")
        made.add_corpus([{"text": text} for text, _ in ROWS])
        yield made


def _label_all(project: Project, who: str, wrong: int = 0) -> list[str]:
    rows = []
    for number, item in enumerate(project.labelling.queue(who)):
        right = TRUTH[str(item.item)]
        item.label({"great": "bad", "bad": "great"}[right] if number < wrong else right)
        rows.append(item.row)
    return rows


def test_one_person_labels_and_a_version_is_trained(project: Project) -> None:
    votes = project.labelling
    with pytest.raises(NotFound):
        votes.state()
    begun = votes.start(["great", "bad"])
    assert (begun.rows, begun.labelled) == (len(TRUTH), 0)
    with pytest.raises(InvalidData):
        votes.collect()
    first = next(votes.queue("mei"))
    with pytest.raises(InvalidData):
        first.label("fine")
    assert len(_label_all(project, "mei")) == len(TRUTH)
    assert not list(votes.queue("mei"))
    assert not list(votes.queue("li"))  # one voice is enough
    done = votes.state()
    assert (done.decided, done.differing, done.alpha) == (len(TRUTH), 0, None)
    added = votes.collect()
    assert added.report["rows"] == len(TRUTH)
    assert project.rows("", label="great").rows[0]["input"] in TRUTH
    turned = project.run(method="linear", overrides={"task.feature_bits": 12})
    assert turned.live


def test_several_people_agree_and_differ(project: Project) -> None:
    votes = project.labelling
    votes.start(["great", "bad"], people=2)
    order = _label_all(project, "operator:mei")
    assert order == _label_all(project, "operator:li", wrong=3)  # the same rows, in the same order
    found = votes.state()
    assert (found.labelled, found.differing) == (len(TRUTH), 3)
    assert found.decided == len(TRUTH) - 3
    assert found.alpha is not None
    assert found.alpha[1] < found.alpha[0] < 1
    assert list(found.kappas) == ["li – mei"]
    apart = {one["row"] for one in found.open}
    assert apart == set(order[:3])
    votes.decide(order[0], "bad")
    with pytest.raises(NotFound):
        votes.decide("nothing", "bad")
    after = votes.state()
    assert (after.decided, after.differing) == (len(TRUTH) - 2, 2)
    assert after.alpha == found.alpha  # a decision is no voice
    assert {"row": order[1]}.items() <= after.open[0].items() or order[1] in {
        one["row"] for one in after.open
    }


def test_what_was_said_is_taken_back(project: Project) -> None:
    votes = project.labelling
    votes.start(["great", "bad"])
    item = next(votes.queue("mei"))
    item.label("great")
    assert votes.state().labelled == 1
    assert item.undo()
    assert not item.undo()
    assert votes.state().labelled == 0
    assert next(votes.queue("mei")).row == item.row


@pytest.mark.parametrize(
    ("labels", "people"), [([], 1), (["great"], 1), (["great", "great "], 1), (["a", "b"], 0)]
)
def test_what_cannot_be_begun(project: Project, labels: list[str], people: int) -> None:
    with pytest.raises(UsageError):
        project.labelling.start(labels, people=people)


def test_nothing_to_label(tmp_path: Path) -> None:
    with Workspace(tmp_path) as workspace, pytest.raises(NotFound):
        workspace.init("empty").labelling.start(["a", "b"])
