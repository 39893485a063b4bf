"""What the audit says of a catalogue: doubles, documents nobody asks for, long ones."""

from __future__ import annotations

from pathlib import Path

from feilun.families.ranking import RANKING
from feilun.modalities.text.catalogue_checks import CatalogueChecks
from feilun.project import Workspace
from feilun.tasks import base as tasks

TASK = tasks.get("text-similarity")


def _found(rows: list[tuple[str, str]], limit: int = 256) -> dict[str, tuple[int, int, list[int]]]:
    checks = CatalogueChecks(limit)
    for number, (question, document) in enumerate(rows):
        target = RANKING.target(document)
        assert target is not None
        checks.add(number, TASK.check(question), target)
    return {one.code: (one.count, one.of, list(one.rows)) for one in checks.findings()}


def test_doubles_differ_in_case_space_width_and_punctuation_alone() -> None:
    rows = [
        ("How long?", "Three days."),
        ("And how long now?", "three  days"),
        ("几天？", "三天，送到。"),
        ("要几天？", "三天送到"),
        ("什么时候？", "四天送到"),
        ("Long?", "Three days."),
        ("!", "?"),
        ("?!", "!!"),
    ]
    assert _found(rows) == {"same_documents": (2, 7, [1, 3])}


def test_documents_alone_and_long_ones_are_told() -> None:
    long = "一" * 9
    rows = [("q1", "a"), ("b", "b"), ("c", "c"), ("q2", "c"), (long, long), ("q3", "w " * 8)]
    found = _found(rows, limit=8)
    assert found["unasked_documents"] == (2, 5, [1, 4])
    assert found["long_documents"] == (1, 5, [4])
    checks = CatalogueChecks(8)
    assert checks.findings() == []


def test_the_audit_of_a_project_has_them_in_both_languages(tmp_path: Path) -> None:
    rows = [{"question": f"How is number {n} sent?", "answer": f"By boat {n}."} for n in range(20)]
    rows += [{"question": "How is it sent?", "answer": "by boat 3"}]
    rows += [{"question": "", "answer": f"Nobody asks for {n}."} for n in range(30)]
    with Workspace(tmp_path) as workspace:
        project = workspace.init("faq", task="text-similarity")
        project.add(rows)
        told = {one.code: one for one in project.audit().findings}
        assert (told["same_documents"].count, told["same_documents"].of) == (1, 51)
        unasked = told["unasked_documents"]
        assert (unasked.severity, unasked.count, unasked.params["questions"]) == ("warn", 30, 21)
