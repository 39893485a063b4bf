"""What a finding is: how bad, how many, three examples, what it costs, and what mends it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from feilun import messages
from feilun.data.audit.scripts import trace
from feilun.data.outcome import Notice, worded
from feilun.data.personal import find, hidden
from feilun.store.dataset import Dataset
from feilun.types import Example, Item

__all__ = [
    "CODES",
    "EXAMPLES",
    "Draft",
    "Finding",
    "Instance",
    "Mend",
    "Severity",
    "ShownRow",
    "by_cleaning",
    "filled",
]

Severity = Literal["info", "warn", "bad"]
"""``bad``: figures measured on these rows, or the model, cannot be trusted until it is mended; of
personal data, that nobody should learn from them as they are."""

EXAMPLES = 3
_SHOWN = 240
_ORDER: Mapping[str, int] = {"bad": 0, "warn": 1, "info": 2}
_PRICES: Mapping[str, tuple[str | float, str | float]] = {
    "audit.cost_duplicates": ("naive", "honest"),
    "audit.cost_near": ("naive", "honest"),
    "audit.cost_conflicts": (1.0, "ceiling"),
    "audit.cost_suspects": (1.0, "ceiling"),
    "audit.cost_drift": ("known", "guess"),
    "audit.cost_sorted": ("known", "guess"),
    "audit.cost_column": ("right", "guess"),
    "audit.cost_truncated": ("share", 0.0),
    "audit.cost_languages": ("on_main", "on_others"),
}
"""What of a cost's figures is taken from what."""

CODES = (
    "exact_duplicates",
    "equal_rows",
    "near_duplicates",
    "leakage",
    "conflicts",
    "near_conflicts",
    "suspects",
    "sorted",
    "drift",
    "drift_in_time",
    "giveaway",
    "column",
    "input_column",
    "id_columns",
    "constant_columns",
    "empty_columns",
    "unseen_categories",
    "alike_labels",
    "rare_labels",
    "imbalance",
    "few_askers",
    "single_askers",
    "heavy_askers",
    "rare_items",
    "no_series",
    "mixed_frequencies",
    "gaps",
    "doubled_times",
    "constant_series",
    "short_series",
    "level_shifts",
    "tags_together",
    "tags_everywhere",
    "rare_tags",
    "unmarked_entities",
    "entities_of_two_kinds",
    "entity_edges",
    "rare_kinds",
    "turned_pairs",
    "alike_texts",
    "shared_texts",
    "far_numbers",
    "heaped_number",
    "same_documents",
    "unasked_documents",
    "long_documents",
    "untranslated",
    "swapped_languages",
    "placeholders_differ",
    "long_summaries",
    "copied_answers",
    "repeated_prompts",
    "unreadable_rows",
    "left_out",
    "empty",
    "long",
    "truncated",
    "garbled",
    "unknown_tokens",
    "languages",
    "personal",
)
"""Everything that an audit may find. ``audit.CODE`` is its sentence and ``audit.title_CODE`` its
name."""


@dataclass(frozen=True, slots=True)
class ShownRow:
    """One row as it is shown: `text` is cut at 240 characters, empty for a picture, which `image`
    shows as a data URI; `source` says where it came from, of a file that is not added yet with the
    number of its row."""

    row_id: str
    text: str
    label: str
    split: str
    source: str = ""
    image: str = ""


@dataclass(frozen=True, slots=True)
class Instance:
    """One example of a finding: a row, or two that belong together, and a word on them."""

    rows: tuple[ShownRow, ...]
    note: Notice | None = None


class Mend(NamedTuple):
    """What puts a finding right: the `commands` in their order, and, where they clean the data, the
    `steps` as `feilun.data.clean.recipe.Cleaning` takes them."""

    commands: tuple[str, ...] = ()
    steps: Mapping[str, Any] = {}


def by_cleaning(command: str, **steps: Any) -> Mend:
    """The mend that is one cleaning; `command` begins its command, ``feilun data clean``."""
    words = [command]
    for name, value in steps.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, Mapping):
            pairs = (shlex.quote(f"{old}={new}") for old, new in value.items())
            words += [f"{option.removesuffix('s')} {pair}" for pair in pairs]
        elif value is True:
            words.append(option)
        else:
            text = (
                ",".join(value)
                if isinstance(value, Sequence) and not isinstance(value, str)
                else str(value)
            )
            words.append(f"{option} {shlex.quote(text)}")
    return Mend((" ".join(words),), steps)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    `count` rows (labels, columns: what the sentence counts) of `of`; `basis` says which rows were
    looked at. `cost` is what it costs where that was measured, else None. `mend` are the commands
    that put it right, in their order; none where a person has to decide. `steps` are those of the
    cleaning that puts it right, where one does (see `Mend`).
    """

    code: str
    severity: Severity
    count: int
    of: int
    basis: Notice
    params: Mapping[str, Any] = field(default_factory=dict)
    examples: tuple[Instance, ...] = ()
    cost: Notice | None = None
    mend: tuple[str, ...] = ()
    steps: Mapping[str, Any] = field(default_factory=dict)

    @property
    def price(self) -> float:
        """The cost as a share of the answers, to order by: what a figure is too high, or what is
        out of reach; 0 where nothing was measured."""
        if self.cost is None or self.cost.code not in _PRICES:
            return 0.0
        more, less = (
            one if isinstance(one, float) else float(self.cost.params[one])
            for one in _PRICES[self.cost.code]
        )
        return max(more - less, 0.0)

    def title(self, lang: messages.Language | None = None) -> str:
        """The name of this kind of finding."""
        return messages.t(f"audit.title_{self.code}", lang)

    def text(self, lang: messages.Language | None = None) -> str:
        """What was found, in a sentence or two."""
        return messages.t(f"audit.{self.code}", lang, **self._params(lang))

    def advice(self, lang: messages.Language | None = None) -> str:
        """Why it matters and what to do."""
        return messages.hint(f"audit.{self.code}", lang, **self._params(lang))

    def _params(self, lang: messages.Language | None) -> dict[str, Any]:
        share = self.count / self.of if self.of else 0.0
        own = worded(self.params, lang)
        return {"count": self.count, "of": self.of, "share": share, **own}

    def to_json(self, lang: messages.Language | None = None) -> dict[str, Any]:
        """Everything as JSON values, with the sentences in `lang` beside the codes."""
        raw = asdict(self)
        raw["title"], raw["text"] = self.title(lang), self.text(lang)
        raw["advice"] = self.advice(lang)
        raw["basis"] = _spoken(self.basis, lang)
        raw["cost"] = _spoken(self.cost, lang)
        for one, instance in zip(raw["examples"], self.examples, strict=True):
            one["note"] = _spoken(instance.note, lang)
            for row in one["rows"]:
                del row["image"]  # for pages alone
        return raw

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Finding:
        """The finding that `to_json` wrote; its sentences are made anew."""
        return cls(
            code=raw["code"],
            severity=raw["severity"],
            count=raw["count"],
            of=raw["of"],
            basis=_notice(raw["basis"]) or Notice(""),
            params=raw["params"],
            examples=tuple(
                Instance(tuple(ShownRow(**row) for row in one["rows"]), _notice(one["note"]))
                for one in raw["examples"]
            ),
            cost=_notice(raw["cost"]),
            mend=tuple(raw["mend"]),
            steps=raw.get("steps", {}),
        )


@dataclass(frozen=True, slots=True)
class Draft:
    """A finding whose examples are still places of rows. `filled` looks the rows up, all in one
    pass over the data."""

    finding: Finding
    places: Sequence[tuple[int, ...]] = ()
    notes: Sequence[Notice | None] = ()


def filled(drafts: Iterable[Draft], data: Dataset) -> tuple[Finding, ...]:
    """The findings with their examples: by what is to be done, then by what they cost, then those
    whose cost is not measured."""
    listed = sorted(drafts, key=lambda draft: _rank(draft.finding))
    wanted = {place for draft in listed for places in draft.places for place in places}
    rows: dict[int, Example] = {}
    last = max(wanted, default=-1)
    for place, example in enumerate(data.examples()):
        if place > last:
            break
        if place in wanted:
            rows[place] = example
    return tuple(_with_examples(draft, rows) for draft in listed)


def _rank(finding: Finding) -> tuple[int, float, int]:
    return _ORDER[finding.severity], -finding.price, CODES.index(finding.code)


def _with_examples(draft: Draft, rows: Mapping[int, Example]) -> Finding:
    notes = [*draft.notes, *[None] * len(draft.places)]
    shown = tuple(
        Instance(tuple(_row(rows[place], draft.finding.code) for place in places), note)
        for places, note in zip(draft.places, notes, strict=False)
    )
    old = draft.finding
    return Finding(
        old.code,
        old.severity,
        old.count,
        old.of,
        old.basis,
        old.params,
        old.examples or shown,
        old.cost,
        old.mend,
        old.steps,
    )


def _row(example: Example, code: str) -> ShownRow:
    item = example.item
    if isinstance(item, str) and code in ("personal", "garbled"):
        spans = find(item)
        item = _from(item, spans[0].start if code == "personal" and spans else trace(item))
    label = example.label or ""
    text = shown_text(item)
    return ShownRow(example.row_id, text, label, example.split, example.source, _picture(item))


def _picture(item: Item) -> str:
    from feilun.modalities.image.thumbnail import thumbnail

    values = item.values() if isinstance(item, Mapping) else [item]
    found = next((value for value in values if isinstance(value, bytes)), None)
    return (thumbnail(found) or "") if found is not None else ""


def _from(text: str, place: int) -> str:
    """A long text from a little before `place`, which is what is to be seen."""
    start = max(0, place - _SHOWN // 3)
    return f"…{text[start:]}" if start else text


def shown_text(item: Item) -> str:
    """An item as examples show it: one line, cut, personal data hidden; nothing for media."""
    if isinstance(item, bytes):
        return ""
    if isinstance(item, Mapping):
        text = ", ".join(f"{name}: {shown_text(value)}" for name, value in item.items())
    else:
        text = " ".join(hidden(str(item)[: 4 * _SHOWN]).split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _spoken(notice: Notice | None, lang: messages.Language | None) -> dict[str, Any] | None:
    if notice is None:
        return None
    return {"code": notice.code, "params": dict(notice.params), "text": notice.text(lang)}


def _notice(raw: Mapping[str, Any] | None) -> Notice | None:
    return None if raw is None else Notice(raw["code"], raw["params"])
