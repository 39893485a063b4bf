"""Corrections of written answers as pairs: what was answered, and what should have been."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from feilun.errors import NotFound, UsageError
from feilun.messages import t
from feilun.modalities.language import conversations
from feilun.pipeline.context import Context
from feilun.pipeline.triage import triaged
from feilun.store.files import write_atomically
from feilun.table import Result, Table

__all__ = ["PairsWritten", "write_pairs"]


@dataclass(frozen=True)
class PairsWritten(Result):
    """The `file`, and how many pairs it holds."""

    file: Path
    pairs: int

    def tables(self) -> tuple[Table, ...]:
        return (Table(t("preferences.written", pairs=self.pairs, file=self.file), (), ()),)


def write_pairs(context: Context, file: Path) -> PairsWritten:
    """Writes ``prompt``, ``chosen`` (the correction) and ``rejected`` (what was answered) of every
    correction whose input is still kept, a line each; those that are held back are left out.

    Raises `UsageError` where answers are not written, `NotFound` where there is no pair.
    """
    store, family = context.store, context.task.family
    if not family.streams:
        raise UsageError("preferences.reason", task=context.task.name)
    held = triaged(context, store.catalog.latest_data(context.project)).held
    left = {one.said.feedback.id for one in held}
    lines = []
    for said in store.ledger.feedback(context.project):
        answered, right = family.said(said.prediction.output), said.feedback.label
        prompt = said.prediction.input
        if said.feedback.id in left or not answered or not right or answered == right:
            continue
        row = {
            "prompt": conversations.listed(prompt) or prompt,
            "chosen": right,
            "rejected": answered,
        }
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    if not lines:
        raise NotFound("preferences.none_yet")
    write_atomically(file, "".join(lines).encode())
    return PairsWritten(file, len(lines))
