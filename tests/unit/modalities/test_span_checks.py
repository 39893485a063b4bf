"""What the audit says of texts and the entities that are marked in them."""

from __future__ import annotations

import json
from pathlib import Path

from feilun.families.base import Peculiarity
from feilun.project import Workspace
from feilun.tasks import base as tasks

TASK = tasks.get("token-classification")


def _found(rows: list[tuple[str, list[tuple[int, int, str]]]]) -> dict[str, Peculiarity]:
    checks = TASK.inspection()
    assert checks is not None
    for number, (text, spans) in enumerate(rows):
        target = TASK.family.target(json.dumps(spans))
        assert target is not None
        checks.add(number, text, target)
    return {one.code: one for one in checks.findings()}


def test_words_that_are_mostly_marked_and_sometimes_not() -> None:
    rows = [("Dear Anna Keller,", [(5, 16, "PER")])] * 4
    rows += [("王小明住在上海。", [(0, 3, "PER"), (5, 7, "LOC")])] * 3
    rows += [
        ("Anna Keller has called.", []),
        ("王小明来了，上海人也来了。", [(6, 8, "LOC")]),
        ("Anna Kellerman has not.", []),  # another name
        ("The Kellers and 小明 neither.", []),
    ]
    found = _found(rows)
    assert list(found) == ["unmarked_entities"]
    unmarked = found["unmarked_entities"]
    assert (unmarked.severity, unmarked.count, unmarked.of) == ("warn", 2, 11)
    assert (unmarked.params["words"], unmarked.rows) == (["Anna Keller (1)", "王小明 (1)"], [7, 8])
    # What is left unmarked as often as it is marked may be a usual word.
    assert _found([("Mai kam", [(0, 3, "PER")])] * 4 + [("im Mai", [])] * 4) == {}


def test_words_of_several_kinds_edges_inside_words_and_rare_kinds() -> None:
    assert _found([("to Paris", [(3, 8, "LOC")])] * 49 + [("Paris AG", [(0, 5, "ORG")])])[
        "entities_of_two_kinds"
    ].params == {"words": ["Paris (LOC, ORG)"]}
    edges = _found(
        [
            ("from Oslo to", [(5, 8, "LOC")]),
            ("in Wien", [(2, 7, "LOC")]),
            ("单号123", [(2, 4, "NO")]),
            ("他住在上海市", [(3, 5, "LOC")]),
            ("(Rom)", [(1, 4, "LOC")]),
        ]
    )["entity_edges"]
    assert (edges.count, list(edges.rows)) == (3, [0, 1, 2])
    rare = _found([("in Rom", [(3, 6, "LOC")])] * 60 + [("Ada", [(0, 3, "PER")])] * 3)["rare_kinds"]
    assert (rare.count, rare.of, rare.params["labels"]) == (1, 2, ["PER (3)"])


def test_the_audit_of_a_project_has_them(tmp_path: Path) -> None:
    rows = [
        {"text": f"Order {n} goes to Oslo.", "entities": [{"start": 0, "end": 5, "label": "X"}]}
        for n in range(20)
    ]
    rows += [{"text": f"The Order number {n} is lost.", "entities": []} for n in range(3)]
    with Workspace(tmp_path) as workspace:
        project = workspace.init("ents", task="token-classification")
        project.add(rows)
        told = {one.code: one for one in project.audit().findings}
        assert told["unmarked_entities"].count == 3
        assert "Order (3)" in told["unmarked_entities"].text("zh")
        assert len(told["unmarked_entities"].examples) == 3
