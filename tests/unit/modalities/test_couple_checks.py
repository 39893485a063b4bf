"""What the audit says of pairs of texts, and of true numbers."""

from __future__ import annotations

from feilun.families.base import Peculiarity
from feilun.families.numbers import NUMBERS
from feilun.tasks import base as tasks

TASK = tasks.get("text-pair-classification")


def _found(rows: list[tuple[str, str, str]]) -> dict[str, Peculiarity]:
    checks = TASK.inspection()
    assert checks is not None
    for number, (text, other, label) in enumerate(rows):
        checks.add(number, {"text": text, "other": other}, label)
    return {one.code: one for one in checks.findings()}


def test_pairs_that_contradict_themselves() -> None:
    rows = [(f"question {n}", f"answer {n}", "yes") for n in range(8)]
    assert _found(rows) == {}
    rows += [("answer 1", "Question  1", "no"), ("answer 2", "question 2", "yes")]
    rows += [("same", "Same", "yes"), ("like", "like", "yes"), ("also", "also", "no")]
    found = _found(rows)
    assert (found["turned_pairs"].severity, list(found["turned_pairs"].rows)) == ("warn", [8])
    alike = found["alike_texts"]
    assert (alike.count, alike.of, list(alike.rows)) == (1, 3, [12])
    assert alike.params == {"usual": "yes"}
    assert found["shared_texts"].count == 4
    assert found["shared_texts"].severity == "info"


def test_numbers_far_from_all_others_and_one_on_many_rows() -> None:
    def found(numbers: list[float]) -> dict[str, Peculiarity]:
        tally = NUMBERS.tally()
        assert tally is not None
        for number in numbers:
            tally.add(NUMBERS.target(number) or "")
        return {one.code: one for one in tally.findings()}

    usual = [float(n) for n in range(100)]
    assert found(usual) == found([]) == {}
    far = found([*usual, 99999, -9999, 99999])["far_numbers"]
    assert (far.count, far.of, far.params["values"]) == (3, 103, ["99999", "-9999"])
    heaped = found([*usual, *[0] * 40])["heaped_number"]
    assert (heaped.severity, heaped.count, heaped.params["value"]) == ("info", 41, "0")
    assert found([1.0, 2.0] * 50) == {}  # two values are no heap
