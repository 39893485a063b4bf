"""What texts and the spans marked in them show together: for the audit."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from feilun.families.base import Peculiarity
from feilun.families.spans import spans_of
from feilun.metrics.spans import Span
from feilun.modalities.text import sequence
from feilun.types import Item

__all__ = ["SpanChecks"]

_SHOWN, _NAMED = 3, 10
_LOUD = 0.02
"""Share of the spans from which on a finding is a warning."""
_KEPT = 20_000
"""Rows whose texts are kept, to look for mentions that nobody marked."""
_OFTEN = 3
"""Times that the same words are marked before another treatment of them looks like a slip."""
_MOSTLY = 2 / 3
"""Share of the mentions that must be treated alike, or else the words may well mean two things."""
_RARE, _HOPELESS = 50, 10
"""Spans of a kind below which its test rows say little, and below which it is hardly learnt."""


class SpanChecks:
    """Words that are mostly marked and sometimes not, words that are marked as several kinds, spans
    that end inside a word or on space, and kinds that hardly occur."""

    def __init__(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._marked: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._where: dict[tuple[str, str], int] = {}
        self._edges: list[int] = []
        self._spans = 0
        self._texts: list[tuple[int, str, Sequence[Span]]] = []

    def add(self, row: int, item: Item, target: str) -> None:
        """The row at this place."""
        text, spans = str(item), spans_of(target)
        for start, end, label in spans:
            words = text[start:end].strip()
            self._kinds[label] += 1
            self._marked[words][label] += 1
            self._where.setdefault((words, label), row)
            if _cuts(text, start) or _cuts(text, end) or len(words) < end - start:
                self._edges.append(row)
        self._spans += len(spans)
        if len(self._texts) < _KEPT:
            self._texts.append((row, text, spans))

    def findings(self) -> Sequence[Peculiarity]:
        """What there is to say."""
        return [*self._unmarked(), *self._doubtful(), *self._cut(), *self._rare()]

    def _found(
        self, code: str, count: int, named: Sequence[str], rows: Sequence[int]
    ) -> Peculiarity:
        severity: Literal["info", "warn"] = "warn" if count > _LOUD * self._spans else "info"
        params: dict[str, Any] = {"words": list(named[:_NAMED])}
        return Peculiarity(code, severity, count, self._spans, params, rows[:_SHOWN])

    def _unmarked(self) -> Iterator[Peculiarity]:
        often = {
            words: sum(kinds.values())
            for words, kinds in self._marked.items()
            if sum(kinds.values()) >= _OFTEN and len(words) > 1
        }
        by_first: defaultdict[str, list[str]] = defaultdict(list)
        for words in sorted(often, key=len, reverse=True):
            start, end = sequence.tokens(words)[0]
            by_first[words[start:end]].append(words)
        missed: defaultdict[str, list[int]] = defaultdict(list)
        for row, text, spans in self._texts:
            for words in _mentions(text, spans, by_first):
                missed[words].append(row)
        slips = {
            words: rows
            for words, rows in missed.items()
            if often[words] >= _MOSTLY * (often[words] + len(rows))
        }
        if slips:
            named = sorted(slips, key=lambda words: -len(slips[words]))
            rows = list(dict.fromkeys(row for words in named for row in slips[words]))
            told = [f"{words} ({len(slips[words])})" for words in named]
            yield self._found("unmarked_entities", sum(map(len, slips.values())), told, rows)

    def _doubtful(self) -> Iterator[Peculiarity]:
        found = []
        for words, kinds in self._marked.items():
            (usual, most), *others = kinds.most_common()
            every = sum(kinds.values())
            if others and every > _OFTEN and most >= _MOSTLY * every:
                found.append((every - most, words, usual, others))
        if found:
            found.sort(key=lambda one: (-one[0], one[1]))
            told = [
                f"{words} ({', '.join([usual, *(label for label, _ in others)])})"
                for _, words, usual, others in found
            ]
            rows = [
                self._where[words, label] for _, words, _, others in found for label, _ in others
            ]
            yield self._found("entities_of_two_kinds", sum(one[0] for one in found), told, rows)

    def _cut(self) -> Iterator[Peculiarity]:
        if self._edges:
            rows = list(dict.fromkeys(self._edges))
            yield self._found("entity_edges", len(self._edges), (), rows)

    def _rare(self) -> Iterator[Peculiarity]:
        rare = sorted((n, label) for label, n in self._kinds.items() if n < _RARE)
        if rare and self._spans >= _RARE:
            hopeless = sum(n < _HOPELESS for n, _ in rare)
            params = {
                "labels": [f"{label} ({n})" for n, label in rare[:_NAMED]],
                "hopeless": hopeless,
                "limit": _RARE,
            }
            severity: Literal["info", "warn"] = "warn" if hopeless else "info"
            yield Peculiarity("rare_kinds", severity, len(rare), len(self._kinds), params)


def _mentions(text: str, spans: Sequence[Span], by_first: dict[str, list[str]]) -> Iterator[str]:
    """The words that stand in `text` outside `spans`, from token to token, the longest first."""
    done = 0
    ends = {end for _, end in sequence.tokens(text)}
    for start, end in sequence.tokens(text):
        if start < done or any(first < end and start < last for first, last, _ in spans):
            continue
        for words in by_first.get(text[start:end], ()):
            stop = start + len(words)
            apart = all(stop <= first or last <= start for first, last, _ in spans)
            if apart and stop in ends and text.startswith(words, start):
                yield words
                done = stop
                break


def _cuts(text: str, place: int) -> bool:
    """Whether a token goes on over `place`: signs of scripts without spaces are tokens each."""
    around = text[max(0, place - 1) : place + 1]
    return 0 < place < len(text) and len(sequence.tokens(around)) == 1 and not _spaced(around)


def _spaced(around: str) -> bool:
    return any(sign.isspace() for sign in around)
