"""Calls that another server answered, as rows of the next data version: question and answer.

Only what the caller's key lets be kept is in the call log at all. An answer that was cut short,
that called a tool, or that nobody can read whole teaches nothing. Of one question that was asked
often the newest answer stands; where somebody corrected it, the correction does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from feilun.feedback.to_data import Learned, content_hash
from feilun.store.ledger_records import Prediction
from feilun.types import Example, Item, Output

__all__ = ["SOURCE", "KeptCall", "corrected", "kept_calls"]

SOURCE = "upstream"
"""What `Example.source` says of such rows."""


@dataclass(frozen=True, slots=True)
class KeptCall:
    """One question with the answer that it got. `drawn`: nobody chose it, so that it may judge.
    `feedback_ids` are those of the correction that took the answer's place."""

    example: Example
    drawn: bool
    feedback_ids: tuple[str, ...] = ()


def kept_calls(
    answers: Iterable[Prediction],
    passed: Mapping[str, Callable[[Item, Output], bool | None]],
) -> list[KeptCall]:
    """A row for each different input among `answers`, the newest first. `passed` says of the
    versions that pass calls on whether such an answer was drawn; None: another server did not
    give it."""
    found: dict[str, KeptCall] = {}
    for one in answers:
        judge = passed.get(one.model_version or "")
        if judge is None or one.input is None or not _is_whole(one.output) or not one.label:
            continue
        drawn = judge(one.input, one.output)
        if drawn is None:
            continue
        digest = content_hash(one.input)
        before = found.get(digest)
        if before is not None:
            found[digest] = replace(before, drawn=before.drawn or drawn)
            continue
        row = Example(
            row_id=f"up_{digest[:32]}",
            item=one.input,
            label=one.label,
            subject=one.customer or "",
            source=SOURCE,
        )
        found[digest] = KeptCall(row, drawn)
    return list(found.values())


def corrected(
    calls: Iterable[KeptCall], learned: Iterable[Learned]
) -> tuple[list[KeptCall], list[Learned]]:
    """`calls` with what was `learned` of their answers since, and what was learned of others. A row
    that was drawn stays one: its answer was not chosen by being wrong."""
    words: dict[str, list[Learned]] = {}
    for one in learned:
        words.setdefault(content_hash(one.example.item), []).append(one)
    found = []
    for call in calls:
        of_call = words.get(content_hash(call.example.item))
        if not of_call:
            found.append(call)
        else:
            word = of_call.pop()
            row = replace(call.example, label=word.example.label)
            found.append(KeptCall(row, call.drawn, word.feedback_ids))
    return found, [one for several in words.values() for one in several]


def _is_whole(output: Output) -> bool:
    return output.get("finish_reason") in (None, "stop") and not (
        output.get("tool_calls") or output.get("abstained")
    )
