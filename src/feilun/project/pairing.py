"""Pairs of a better and a worse answer: corrections beside what was answered, and answers of two
versions of which people preferred one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from feilun.errors import NotFound, UsageError
from feilun.messages import t
from feilun.modalities.language import conversations
from feilun.pipeline.triage import triaged
from feilun.project.preference import chosen_pairs
from feilun.project.scope import Scope
from feilun.store.files import write_atomically
from feilun.table import Result, Table
from feilun.types import Item

__all__ = ["PairsWritten", "write_pairs"]


@dataclass(frozen=True)
class PairsWritten(Result):
    """The `file`, and how many pairs it holds, `preferred` of them by comparing two versions.
    `left_out` more are to test prompts, which never train."""

    file: Path
    pairs: int
    preferred: int = 0
    left_out: int = 0

    def tables(self) -> tuple[Table, ...]:
        notes = []
        if self.preferred:
            notes.append(t("preferences.preferred", pairs=self.preferred))
        if self.left_out:
            notes.append(t("preferences.left_out", pairs=self.left_out))
        title = t("preferences.written", pairs=self.pairs, file=self.file)
        return (Table(title, (), (), notes),)


def write_pairs(scope: Scope, file: Path) -> PairsWritten:
    """Writes ``prompt``, ``chosen`` (the correction) and ``rejected`` (what was answered) of every
    correction whose input is still kept, a line each; those that are held back are left out. Of
    two versions' answers to a kept call the preferred one is ``chosen``.

    Raises `UsageError` where answers are not written, `NotFound` where there is no pair.
    """
    context = scope.context()
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
        lines.append(_line(prompt, right, answered))
    chosen, left_out = chosen_pairs(scope)
    lines += [_line(*one) for one in chosen]
    if not lines:
        raise NotFound("preferences.none_yet")
    write_atomically(file, "".join(lines).encode())
    return PairsWritten(file, len(lines), len(chosen), left_out)


def _line(prompt: Item, better: str, worse: str) -> str:
    asked = conversations.listed(prompt) or prompt
    row = {"prompt": asked, "chosen": better, "rejected": worse}
    return json.dumps(row, ensure_ascii=False) + "\n"
