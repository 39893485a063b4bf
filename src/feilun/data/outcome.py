"""What building a data version found, as values: for the command line, the catalog and tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from feilun import messages
from feilun.data.clean.tally import StepReport
from feilun.messages.words import head_in_words
from feilun.types import Roles

__all__ = ["BuildReport", "Notice", "SourceReport"]


_WORDED = {
    "kinds": "audit.kind_*",
    "main": "audit.script_*",
    "shares": "audit.script_*",
    "where": "audit.where_*",
}


def worded(params: Mapping[str, Any], lang: messages.Language | None) -> dict[str, Any]:
    """`params` with the names that the audit keeps of scripts, places and kinds as words."""
    said = dict(params)
    for name in params.keys() & _WORDED:
        value, prefix = params[name], _WORDED[name]
        if isinstance(value, str):
            said[name] = head_in_words(prefix, value, lang)
        elif isinstance(value, list | tuple):
            said[name] = [head_in_words(prefix, str(one), lang) for one in value]
    return said


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence worth saying: the key `code` with `params`."""

    code: str
    params: Mapping[str, Any] = field(default_factory=dict)

    def text(self, lang: messages.Language | None = None) -> str:
        """The sentence in `lang` (default: the one in force)."""
        return messages.t(self.code, lang, **worded(self.params, lang))

    def hint(self, lang: messages.Language | None = None) -> str:
        """What to do about it; empty when nothing can be said."""
        return messages.hint(self.code, lang, **worded(self.params, lang))

    def said(self, lang: messages.Language | None = None) -> str:
        """The sentence, and below it what to do."""
        hint = self.hint(lang)
        return f"{self.text(lang)}\n→ {hint}" if hint else self.text(lang)


@dataclass(frozen=True, slots=True)
class SourceReport:
    """One source as it was read: rows in total and bad ones, which column played which role, and
    `details` that were found out (format, encoding, delimiter, header, sheet)."""

    name: str
    rows: int
    bad: int
    roles: Roles | None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What `feilun.data.versions.build` did.

    - `rows`: rows of the new version; `new`: of them, contents that the previous one did not have
    - `read`: rows read from the sources; `bad`: unusable ones; `bad_rows`: the file that tells why
      (None when there are none); `reasons`: why, each with its number of rows
    - `duplicates`: rows left out because the same content was there already, in a source or in the
      previous version; `conflicts`: contents that came with different labels; `undecided`: of
      them, those left out because no label had the majority; `corrected`: labels of the previous
      version that a correcting source changed, `corrected_test` those of test rows; `differing`:
      contents of the previous version that came with another label, which was not taken,
      `differing_test` those of test rows; `matched`: of the duplicates, observations without an
      id that were taken for rows of the previous version, which may have been others
    - `held_out`: rows left out because they overlap with held-out content, `removed`: of them, rows
      that the previous version had; `overlaps`: rows that
      came for one split and stand in another, because the same content or group was there
    - `near`: kept rows of which a near-duplicate came before; they share its split. `near_test`:
      new rows left out because near-duplicates of theirs are in the test split, or stand by their
      group or their time in another split than they
    - `waiting`: new labels with too few rows so far, ``{label: rows}``
    - `counts`: ``{split: {label: rows}}``; `labels`: in the order of the model's outputs;
      `new_labels`: of them, those that the previous version did not have
    - `recipe`: the cleanings that the version went through, `mended` what each step changed now
    - `new_ids` is filled only with a previous version: ids of the rows it did not have, and of
      those whose label changed
    """

    out: Path
    rows: int
    new: int
    read: int
    bad: int
    bad_rows: Path | None
    reasons: tuple[tuple[Notice, int], ...]
    duplicates: int
    conflicts: int
    undecided: int
    corrected: int
    held_out: int
    removed: int
    overlaps: int
    near: int
    near_test: int
    waiting: Mapping[str, int]
    counts: Mapping[str, Mapping[str, int]]
    labels: tuple[str, ...]
    new_labels: tuple[str, ...]
    new_ids: tuple[str, ...]
    sources: tuple[SourceReport, ...]
    warnings: tuple[Notice, ...]
    seconds: float
    recipe: tuple[Mapping[str, Any], ...] = ()
    mended: tuple[StepReport, ...] = ()
    corrected_test: int = 0
    differing: int = 0
    differing_test: int = 0
    matched: int = 0

    @property
    def changed(self) -> bool:
        """Whether the version holds anything that the previous one did not."""
        return bool(self.new or self.corrected or self.removed)

    def to_json(self, lang: messages.Language | None = None) -> dict[str, Any]:
        """Everything as JSON values; warnings as sentences in `lang`."""
        raw = asdict(self)
        raw["out"] = str(self.out)
        raw["bad_rows"] = str(self.bad_rows) if self.bad_rows else None
        raw["reasons"] = [{"reason": why.text(lang), "rows": rows} for why, rows in self.reasons]
        raw["warnings"] = [notice.said(lang) for notice in self.warnings]
        raw["mended"] = [step.to_json() for step in self.mended]
        return raw
