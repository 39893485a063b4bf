"""One answer as a caller sees it, and what it is worth beside the right one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from feilun.families.answers.targets import Passage, Reading, Right, is_right, says
from feilun.metrics.answers import Row, exact, f1, holds
from feilun.types import Output

__all__ = [
    "DEPTH",
    "GOOD",
    "is_good",
    "least_of",
    "measured_row",
    "output_of",
    "place_of",
    "reading_of",
    "short",
    "where",
]

DEPTH = 10
"""Passages that an engine finds for judging, however few a caller is shown."""
GOOD = 0.5
"""F1 from which an answer counts as a right one."""

_SHOWN = 300


def measured_row(right: Right, one: Reading, answered: bool) -> Row:
    """What an answer is worth; one that was not `answered` has nothing right."""
    if not right.answers and not right.sources:  # right is who does not answer
        return Row(float(not answered), not answered, not answered, None, answered, True)
    place = next((n for n, p in enumerate(one.passages, 1) if is_right(right, p)), 0)
    if not answered:
        return Row(0.0, False, False, place, False, False)
    cited = one.cited
    passages = [passage for passage in (cited, *one.supports) if passage is not None]
    said = "\n".join(f"{passage.heading}\n{passage.text}" for passage in passages)
    supported = bool(passages) and says(said, one.answer)
    if not right.answers:  # only the passage is known
        found = cited is not None and is_right(right, cited)
        return Row(float(found), found, found, place, True, supported)
    return Row(
        max(f1(true, one.answer) for true in right.answers),
        any(exact(true, one.answer) for true in right.answers),
        any(holds(one.answer, true) for true in right.answers),
        place,
        True,
        supported,
    )


def is_good(right: Right, one: Reading) -> bool:
    """Whether an answer contains a right one, or shares half its words with it."""
    row = measured_row(right, one, True)
    return row.contains or row.f1 >= GOOD


def output_of(one: Reading, least: float) -> Output:
    """The answer; where it is less sure than `least`, that it is not known."""
    found = [{**_shown(each), "score": each.score} for each in one.passages[:DEPTH]]
    said: Output = {"answer": one.answer, "score": one.sure, "start": 0, "end": 0}
    if one.candidates:
        said["candidates"] = [
            {
                "answer": each.answer,
                "score": each.score,
                **_shown(each.passage),
                "start": each.start,
                "end": each.end,
            }
            for each in one.candidates
        ]
    if one.sure < least or not one.answer:
        said |= {"answer": one.otherwise, "citations": [], "passages": found, "abstained": True}
        return said
    cited = []
    if one.cited is not None:
        said |= {"start": one.start, "end": one.end}
        cited.append({**_shown(one.cited), "start": one.start, "end": one.end})
        cited += [{**_shown(each), "start": 0, "end": len(each.text)} for each in one.supports]
    return {**said, "citations": cited, "passages": found}


def _shown(one: Passage) -> dict[str, Any]:
    return {
        "document": one.document,
        "heading": one.heading,
        "page": one.page,
        "passage": one.text,
    }


def reading_of(output: Output) -> Reading:
    """An answer as it was read, as far as it tells."""

    def passage(one: Mapping[str, Any]) -> Passage:
        return Passage(one["document"], one["passage"], one.get("heading", ""), one.get("page"))

    cited = [passage(one) for one in output["citations"]]
    found = [passage(one) for one in output.get("passages", ())]
    first = cited[0] if cited else None
    return Reading(
        str(output["answer"]),
        float(output["score"]),
        first,
        passages=found or cited,
        supports=cited[1:],
    )


def place_of(citation: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells a citation from others."""
    return citation["document"], citation.get("page"), citation["passage"], citation["start"]


def where(citation: Mapping[str, Any]) -> str:
    """Document, page and heading of a citation, in words."""
    parts = [citation["document"], citation["page"] and f"p. {citation['page']}"]
    return ", ".join(str(one) for one in (*parts, citation["heading"]) if one)


def least_of(point: Mapping[str, Any]) -> float:
    """How sure a version has to be to answer, by its operating point."""
    return float(point.get("least", 0.0))


def short(text: str) -> str:
    """The beginning of a text."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
