"""Review, the audit of live accuracy and drift on a linear project; everything is real."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence

import pytest

from feilun import messages
from feilun.errors import NotFound
from feilun.project import Project
from feilun.project.worker import due
from feilun.store.ledger_records import Event, Prediction
from feilun.table import Result
from helpers.linear import linear_project
from helpers.rows import reviews


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    messages.use("en")
    with linear_project(tmp_path_factory.mktemp("watch"), rows=600) as project:
        text = project.file.read_text("utf-8")
        project.file.write_text(text + "\n[task]\nfeature_bits = 14\n", "utf-8")
        project.run(method="linear")
        yield project


@pytest.fixture
def project(trained: Project) -> Iterator[Project]:
    """The trained project with an empty log."""
    yield trained
    from sqlalchemy import delete

    from feilun.store import tables_ledger as t

    ledger = trained.workspace.store.ledger
    with ledger._db.write() as connection:
        connection.execute(delete(t.predictions))
        connection.execute(delete(t.feedback))


def ask(
    project: Project,
    texts: Sequence[str],
    name: str = "a",
    *,
    customer: str = "Ada",
    kept: bool = True,
) -> list[tuple[str, str]]:
    """Answers of the live version in the log; ids and labels."""
    catalog = project.workspace.store.catalog
    known = catalog.customer_named(customer) or catalog.add_customer(customer)
    live = project.live
    assert live is not None
    rows = []
    for number, (text, out) in enumerate(
        zip(texts, project.predict(list(texts)).outputs, strict=True)
    ):
        score = float(out["score"])
        rows.append(
            Prediction(
                f"{name}-{number}", 0, text if kept else None, out, out["label"], score,
                2 * score - 1, live.id, project.name, known.id, stored=kept,
            )
        )  # fmt: skip
    events = [Event(call_id=row.prediction_id, customer=known.id) for row in rows]
    project.workspace.store.ledger.commit(events, rows)
    return [(row.prediction_id, str(row.label)) for row in rows]


def shown(result: Result) -> str:
    json.dumps(result.to_json(), allow_nan=False)
    tables = list(result.tables())
    assert all(len(row) == len(table.columns) for table in tables for row in table.rows)
    cells = [str(cell) for table in tables for row in table.rows for cell in row]
    return "\n".join([*(x.title for x in tables), *cells, *(n for x in tables for n in x.notes)])


def test_what_is_held_back_comes_first_with_its_reason(project: Project) -> None:
    texts = [text for text, _ in reviews(60, 3, noise=0.0)]
    ask(project, texts)
    ask(project, [texts[0]], "b", customer="Bob")
    ledger, catalog = project.workspace.store.ledger, project.workspace.store.catalog
    for call, label, customer in (("a-0", "great", "Ada"), ("b-0", "bad", "Bob")):
        known = catalog.customer_named(customer)
        assert known is not None
        ledger.add_feedback(call, 0, label, source="customer", customer=known.id)
    queue = list(project.review(30))
    assert [item.why for item in queue[:2]] == ["held", "held"]
    assert "'great'" in queue[0].note
    assert "'bad'" in queue[0].note
    assert (queue[0].said, queue[1].said) == ("great", "bad")
    assert [item.why for item in queue].count("audit") >= 2
    assert len({(i.prediction.prediction_id, i.prediction.index) for i in queue}) == 30
    queue[0].label("great")
    # the house has spoken of the same input: nothing is held any more
    assert all(item.why != "held" for item in project.review(30))


def test_live_accuracy_comes_from_the_random_draw_alone(project: Project) -> None:
    said = dict(ask(project, [text for text, _ in reviews(200, 4, noise=0.0)], "audit"))
    assert "not known" in shown(project.workspace.status())
    queue = list(project.review(100))
    assert sum(item.why == "audit" for item in queue) == 10
    for item in queue:
        # All that was drawn is right, all that is doubtful is wrong.
        answer = said[item.prediction.prediction_id]
        other = "bad" if answer == "great" else "great"
        item.label(answer if item._asked == "audit" else other)
    status = project.workspace.status()
    found = status.projects[0]["live_accuracy"]
    assert (found["rows"], found["value"]) == (10, 1.0)
    assert found["low"] == pytest.approx(0.72, abs=0.01)
    assert "10" in shown(status)
    # what was drawn and labelled is not drawn again; what was labelled before may be drawn
    drawn = {i.prediction.prediction_id for i in queue if i._asked == "audit"}
    again = {i.prediction.prediction_id for i in project.review(100) if i._asked == "audit"}
    assert len(again) == 10
    assert not drawn & again


def test_a_queue_of_drawn_answers_alone(project: Project) -> None:
    ask(project, [text for text, _ in reviews(60, 14, noise=0.0)], "lot")
    queue = list(project.review(25, drawn_only=True))
    assert [item.why for item in queue] == ["audit"] * 25
    places = [item.prediction.prediction_id for item in queue]
    assert places == [i.prediction.prediction_id for i in project.review(25, drawn_only=True)]
    for item in queue:
        item.label("great")
    left = [i.prediction.prediction_id for i in project.review(60, drawn_only=True)]
    assert sorted([*places, *left]) == sorted(f"lot-{n}" for n in range(60))


def test_settling_what_a_customer_said(project: Project) -> None:
    texts = [f"{text} {random.Random(n).random()}" for n, (text, _) in enumerate(reviews(80, 5))]
    said = ask(project, texts, "m", customer="Mallory")
    ledger, catalog = project.workspace.store.ledger, project.workspace.store.catalog
    mallory = catalog.customer_named("Mallory")
    assert mallory is not None
    for call, label in said:
        turned = "bad" if label == "great" else "great"
        ledger.add_feedback(call, 0, turned, source="customer", customer=mallory.id)
    queue = list(project.review(50))
    assert sum(item.why == "held" for item in queue) == 10  # enough to judge the key by
    assert "Mallory" in queue[0].note
    with pytest.raises(NotFound, match="Nobody") as caught:
        project.settle("Nobody", accept=True)
    assert "Mallory" in caught.value.message()
    done = project.settle("Mallory", accept=False)
    assert done.rows == 80
    assert "80" in shown(done)
    assert ledger.waiting(project.name) == 0
    assert not [item for item in project.review(50) if item.why == "held"]


def test_settling_for_the_customer_makes_it_the_operators_word(project: Project) -> None:
    texts = [f"{text} {random.Random(n).random()}" for n, (text, _) in enumerate(reviews(60, 6))]
    said = ask(project, texts, "r", customer="Right")
    ledger = project.workspace.store.ledger
    right = project.workspace.store.catalog.customer_named("Right")
    assert right is not None
    for call, label in said:
        turned = "bad" if label == "great" else "great"
        ledger.add_feedback(call, 0, turned, source="customer", customer=right.id)
    assert "60" in shown(project.settle("Right", accept=True))
    sources = {one.feedback.source for one in ledger.feedback(project.name, unused_only=True)}
    assert sources == {"operator"}


def test_drift_from_silence_to_alarm(project: Project) -> None:
    assert "too few" in shown(project.drift())
    ask(project, [text for text, _ in reviews(120, 7, noise=0.0)], "first")
    ask(project, ["hidden"] * 5, "hidden", kept=False)
    calm = project.drift()
    assert calm.fresh
    assert calm.found is not None
    assert not calm.found.alarm
    assert (calm.found.current, calm.found.not_kept) == (120, 5)
    assert "no drift" in shown(calm)
    assert not project.drift().fresh  # the same answers are not looked at twice
    shifted = [f"the charger number {n} caught fire near battery {n * 31}" for n in range(150)]
    ask(project, shifted, "later")
    text = project.file.read_text("utf-8")
    project.file.write_text(text + '\n[update]\non_drift = "review"\n', "utf-8")
    said: list[str] = []
    assert due(project.workspace.scope, said.append) == []
    assert "drifted" in said[0]
    alarm = project.drift()
    assert not alarm.fresh
    assert alarm.found is not None
    assert alarm.found.alarm
    assert alarm.found.look == 2
    assert all("charger" in row["input"] for row in alarm.rows)
    assert "drifted" in shown(alarm)
    status = project.workspace.status()
    assert status.projects[0]["drift"]["alarm"] is True
    assert "drifted" in shown(status)
    first = next(iter(project.review(10)))
    assert first.why == "drifted"
    assert "charger" in str(first.prediction.input)


def test_an_alarm_calls_for_an_update(project: Project) -> None:
    ask(
        project, [f"the screen number {n} went dark after {n * 17} days" for n in range(400)], "new"
    )
    text = project.file.read_text("utf-8").replace('on_drift = "review"', 'on_drift = "update"')
    project.file.write_text(text, "utf-8")
    said: list[str] = []
    (task,) = due(project.workspace.scope, said.append)
    assert (task.project, task.kind, task.moment) == ("reviews", "update", None)
    assert "update" in said[0]
    assert due(project.workspace.scope, said.append) == []  # once for each look


def test_a_label_given_by_mistake_is_taken_back(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from feilun.cli.commands.review import _walk

    ask(project, [text for text, _ in reviews(40, 8, noise=0.0)], "undo")
    ledger = project.workspace.store.ledger
    queue = list(project.review(5))
    labels = ["bad", "great"]

    def said() -> list[str | None]:
        found = []
        for item in queue:
            words = ledger.feedback_of(item.prediction.prediction_id, item.prediction.index)
            found.append(words[-1].label if words else None)
        return found

    # An undo before the first is nothing; one undoes a label, two a skip and a label.
    keys = iter("u" + "1u2" + "1su" + "u2" + "s" + "uu1" + "q")
    monkeypatch.setattr("typer.getchar", lambda: next(keys))
    assert _walk(queue, labels) == 2
    assert said() == ["great", "bad", None, None, None]
    assert next(keys, None) is None
    page = capsys.readouterr().out
    assert page.count("1/5") == 2
    assert "undo" in page

    queue[0].label("great")  # the same again adds nothing, so that there is nothing to take back
    assert queue[0].undo() is True  # the one of the walk
    assert queue[0].undo() is False
    queue[1].label("great")
    words = ledger.feedback_of(queue[1].prediction.prediction_id, queue[1].prediction.index)
    ledger.mark_used([words[-1].id], "reviews:2")
    assert queue[1].undo() is False  # an update has learned it


def test_a_file_gives_figures_for_each_label(project: Project) -> None:
    rows = [{"review": text, "score": label} for text, label in reviews(80, 9, noise=0.2)]
    found = project.evaluate(on=rows)
    answers = [out["label"] for out in project.predict([row["review"] for row in rows]).outputs]
    for one in found.labels:
        truth = [row["score"] == one["label"] for row in rows]
        said = [answer == one["label"] for answer in answers]
        right = sum(a and b for a, b in zip(truth, said, strict=True))
        assert (one["rows"], one["answered"], one["right"]) == (sum(truth), sum(said), right)
        assert one["recall"]["value"] == pytest.approx(right / sum(truth))
        assert one["precision"]["value"] == pytest.approx(right / sum(said))
    assert [one["label"] for one in found.labels] == ["bad", "great"]
    assert "precision, %" in [column for table in found.tables() for column in table.columns]
    shown(found)
