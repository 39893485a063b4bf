"""What gives the label away without being what the model should learn: a mark in the text, another
column of the source."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from feilun.data.audit.finding import EXAMPLES, Draft, Finding
from feilun.data.outcome import Notice

__all__ = ["columns", "marks"]

_WORD = re.compile(r"[^\W_\u3040-\u30ff\u3400-\u9fff]{2,}|https?://")
_HAN = re.compile(r"[\u3400-\u9fff]{2,}")
_HEAD = 400
_EDGE = 5
"""Characters at the beginning and the end of a text: where marks like to stand."""
_PURE = 0.97
_COVERS = 0.2
_ALWAYS = 0.8
_LEAST = 20
_TOLD = 0.7
"""Part of the way from guessing to knowing that one column has to go."""
_BINS = 20


def marks(
    texts: Sequence[str],
    labels: np.ndarray,
    names: Sequence[str],
    places: Sequence[int],
    basis: Notice,
) -> list[Draft]:
    """A word, a pair of Chinese characters, or the beginning or end of a text that a fifth of one
    label's rows have and nearly no other row."""
    rows = Counter[str]()
    pairs = Counter[tuple[str, int]]()
    for text, label in zip(texts, labels.tolist(), strict=True):
        found = _tokens(text)
        rows.update(found)
        pairs.update((token, label) for token in found)
    sizes = np.bincount(labels, minlength=len(names))
    best: list[tuple[float, int, str, int]] = []
    for (token, label), hits in pairs.items():
        of = rows[token]
        # A mark must say more than the label's own share does.
        base = sizes[label] / len(labels)
        if hits < _LEAST or hits < _COVERS * sizes[label] or hits < _PURE * of:
            continue
        if hits / of - base > 0.5 * (1 - base):
            best.append((hits / sizes[label], hits, token, label))
    best.sort(key=lambda one: (-one[1], -len(one[2]), one[2]))
    drafts = []
    for label in dict.fromkeys(label for *_, label in best):
        covers, hits, token, _ = next(one for one in best if one[3] == label)
        shown = [
            (places[at],)
            for at, text in enumerate(texts)
            if labels[at] == label and token in _tokens(text)
        ][:EXAMPLES]
        params = {
            "token": token.strip("\x02\x03"),
            "where": "start" if "\x02" in token else "end" if "\x03" in token else "inside",
            "label": names[label],
            "covers": covers,
            "purity": hits / rows[token],
        }
        finding = Finding(
            "giveaway", "bad" if covers > _ALWAYS else "warn", hits, len(texts), basis, params, (),
            Notice("audit.cost_giveaway", {"purity": hits / rows[token], "rows": rows[token]}),
        )  # fmt: skip
        drafts.append(Draft(finding, shown))
    return drafts[:EXAMPLES]


def _tokens(text: str) -> set[str]:
    head = text[:_HEAD].lower()
    found = set(_WORD.findall(head))
    for run in _HAN.findall(head):
        found.update(run[at : at + 2] for at in range(len(run) - 1))
    whole = text.strip().lower()
    if len(whole) > 2 * _EDGE:
        found |= {f"\x02{whole[:_EDGE]}", f"{whole[-_EDGE:]}\x03"}
    return found


def columns(
    values: Mapping[str, Sequence[Any]],
    labels: np.ndarray,
    names: Sequence[str],
    basis: Notice,
    code: str = "column",
) -> list[Draft]:
    """Columns of the source, beside the input and the label, that tell the label nearly alone; with
    the `code` ``input_column`` those that a model would learn from.

    `values` are those of the sampled rows. Half of them say which label goes with which value (of
    numbers, with which of 20 ranges; of ids and other texts, with which beginning), the other half
    judge: a column of a value a row tells nothing.
    """
    drafts = []
    even = np.arange(len(labels)) % 2 == 0
    if not even.any() or even.all():
        return []
    guess = float((labels[~even] == np.bincount(labels[even]).argmax()).mean())
    for name, cells in values.items():
        for form in (_value, _beginning):
            codes = _codes(cells, form)
            right = _judged(codes, labels, even)
            told = (right - guess) / (1 - guess) if guess < 1 else 0.0
            if told > _TOLD:
                draft = _column(name, cells, labels, names, right, guess, basis)
                drafts.append(Draft(replace(draft.finding, code=code)))
                break
    return drafts


def _value(cell: Any) -> str:
    return "" if cell is None else str(cell).strip()[:200]


def _beginning(cell: Any) -> str:
    return re.split(r"[\d\s]", _value(cell), maxsplit=1)[0]


def _codes(cells: Sequence[Any], form: Any) -> np.ndarray:
    """A number for each cell: of its range where nearly all are numbers and many different, else
    of its `form`."""
    plain = [form(cell) for cell in cells]
    numbers = np.array([_number(text) for text in plain])
    known = numbers[np.isfinite(numbers)]
    if len(known) > 0.95 * len(cells) and len(np.unique(known)) > 2 * _BINS:
        edges = np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1]))
        return np.where(np.isfinite(numbers), np.searchsorted(edges, numbers) + 1, 0)
    found: np.ndarray = np.unique(np.array(plain, dtype=object).astype(str), return_inverse=True)[1]
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _judged(codes: np.ndarray, labels: np.ndarray, even: np.ndarray) -> float:
    """Accuracy on the odd rows of the label that the even ones have most often with each code."""
    size, kinds = int(codes.max()) + 1, int(labels.max()) + 1
    table = np.bincount(codes[even] * kinds + labels[even], minlength=size * kinds)
    shares = np.bincount(labels[even], minlength=kinds) / len(labels)  # unseen: the commonest
    best = (table.reshape(size, kinds) + shares).argmax(axis=1)
    return float((best[codes[~even]] == labels[~even]).mean())


def _column(
    name: str,
    cells: Sequence[Any],
    labels: np.ndarray,
    names: Sequence[str],
    right: float,
    guess: float,
    basis: Notice,
) -> Draft:
    pairs = Counter((_value(c)[:40], names[label]) for c, label in zip(cells, labels, strict=True))
    shown = [f"{value!r} → {label} ({rows:,})" for (value, label), rows in pairs.most_common(3)]
    params = {"column": name, "right": right, "guess": guess, "pairs": shown}
    cost = Notice("audit.cost_column", {"right": right, "guess": guess})
    hits = round(right * len(labels))
    return Draft(Finding("column", "warn", hits, len(labels), basis, params, (), cost))
