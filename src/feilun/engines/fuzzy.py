"""The answer to the most similar text that is known, with its numbers and placeholders taken from
the new one: a translation memory with fuzzy matches; answered inline.

Texts are compared as tokens (words, and single characters of scripts without spaces), in which
every number and placeholder is a mark of its kind: ``Delete 3 files`` is the same as ``Delete 12
files``. Candidates come from BM25; the edit distance between tokens (Levenshtein, 1966) decides.
How sure an answer is was measured on the memory itself: the chrF that answers of such a similarity
had where each text was hidden from it (see `Memory.measured`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from feilun.engines._index import Documents, Index, best, terms
from feilun.engines._worded import WordedEngine
from feilun.engines.card import Card
from feilun.errors import CorruptArtifact
from feilun.families.generation import Written, objects
from feilun.metrics.placeholders import Slot, kept, slots
from feilun.metrics.texts import chrf
from feilun.modalities.text import sequence
from feilun.types import Item

__all__ = ["FORMATS", "FuzzyEngine", "Match", "Memory", "load"]

FORMATS = ("fuzzy",)

_SOURCES, _TARGETS, _SURE = "sources.arrow", "targets.arrow", "sure.safetensors"
_CANDIDATES = 32
_LONG = 2000
"""Tokens from which on a text is only looked up, not compared."""
_LEAST = 2048
"""Tokens that an answer may have where all known ones are shorter."""
_FEWEST = 30
"""Hidden texts from which on the scores can be told by them."""
_EAST = "\u2e80-\u9fff\uf900-\ufaff"
_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_MARKS = {kind: f"\0{kind}" for kind in ("address", "tag", "entity", "value", "number")}


class Match(NamedTuple):
    """What a memory has for a text: the known text at `place`, how `alike` both are (0 to 1), and
    the answer to it filled for the new one."""

    place: int
    alike: float
    text: str


class Memory:
    """Known texts and their answers."""

    def __init__(
        self, sources: Sequence[str], targets: Sequence[str], index: Index, repeats: bool
    ) -> None:
        self.sources, self.targets = sources, targets
        self._index, self._repeats = index, repeats
        self._known = {text: place for place, text in enumerate(sources)}
        self._shapes: dict[tuple[str, ...], list[int]] = {}
        for place, text in enumerate(map(_narrow, sources)):
            self._shapes.setdefault(tuple(_tokens(text, slots(text))), []).append(place)
        self._xs, self._ys = np.array([0.0, 1.0]), np.array([0.0, 1.0])

    @classmethod
    def of(cls, sources: Sequence[str], targets: Sequence[str], repeats: bool = False) -> Memory:
        """A memory of distinct `sources`; where targets are in the same language and `repeats`
        words of them, these are filled, too."""
        return cls(sources, targets, Index.of(map(_wordy, sources)), repeats)

    @classmethod
    def read(cls, folder: Path, repeats: bool = False) -> Memory:
        """The memory in `folder`. Raises `CorruptArtifact` where there is none."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        sources, targets = Documents(folder / _SOURCES), Documents(folder / _TARGETS)
        index, file = Index.read(folder), folder / _SURE
        if not len(sources) == len(targets) == index.size:
            raise CorruptArtifact("engines.bad_weights", file=folder / _TARGETS, reason="rows")
        memory = cls(sources, targets, index, repeats)
        try:
            found = load_file(file)
            memory._xs, memory._ys = found["alike"], found["sure"]
        except (OSError, KeyError, SafetensorError) as error:
            raise CorruptArtifact("engines.bad_weights", file=file, reason=repr(error)) from None
        return memory

    def write(self, folder: Path) -> None:
        """Writes what `read` reads."""
        from safetensors.numpy import save_file

        self._index.write(folder)
        Documents.write(folder / _SOURCES, self.sources)
        Documents.write(folder / _TARGETS, self.targets)
        save_file({"alike": self._xs, "sure": self._ys}, folder / _SURE)

    def known(self, text: str) -> str | None:
        """The answer to a text that is known as it is."""
        place = self._known.get(text)
        return None if place is None else self.targets[place]

    def match(self, text: str, hidden: int = -1) -> Match | None:
        """The most similar text whose answer can be filled so that no placeholder is lost; the
        known text at the place `hidden` is none. None where no text has a word of `text`."""
        from rapidfuzz.distance import Levenshtein

        text = _narrow(text)
        own = slots(text)
        tokens = _tokens(text, own)
        if len(tokens) > _LONG:
            return None
        scores = self._index.search(terms(_wordy(text)))
        near = best(scores, _CANDIDATES + 1).tolist()
        found = None
        for place in dict.fromkeys([*self._shapes.get(tuple(tokens), ())[:_CANDIDATES], *near]):
            if place == hidden:
                continue
            source = _narrow(self.sources[place])
            held = slots(source)
            least = 0.0 if found is None else found.alike
            alike = Levenshtein.normalized_similarity(
                tokens, _tokens(source, held), score_cutoff=least
            )
            if alike <= least:
                continue
            target = self.targets[place]
            if self._repeats:
                target = _reworded(text, own, source, held, target)
            filled = _filled(text, own, source, held, target)
            if filled is not None:
                found = Match(place, alike, filled)
        return found

    def sure(self, alike: float) -> float:
        """What chrF an answer has to expect whose text is so much `alike`: 0 to 1."""
        return float(np.interp(alike, self._xs, self._ys))

    def measured(self, most: int, seed: int) -> int:
        """Learns what `sure` says from at most `most` texts of its own, each hidden from the rest:
        the rising curve that fits their chrF best (isotonic regression). The number of texts that
        found another; with fewer than 30 of them an answer is as sure as its text is alike."""
        from sklearn.isotonic import IsotonicRegression

        count = len(self.sources)
        places = np.random.default_rng(seed).choice(count, min(count, most), replace=False)
        found = [
            (match.alike, chrf(self.targets[place], match.text))
            for place in places.tolist()
            if (match := self.match(self.sources[place], hidden=place)) is not None
        ]
        if len(found) >= _FEWEST:
            # What differs in its slots alone is held right until that is measured often enough.
            alike, score = np.array([*found, *[(1.0, 1.0)] * _FEWEST]).T
            curve = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(alike, score)
            self._xs = np.asarray(curve.X_thresholds_, np.float64)
            self._ys = np.asarray(curve.y_thresholds_, np.float64)
        return len(found)


class FuzzyEngine(WordedEngine):
    """Answers from a `fuzzy` version."""

    name = "fuzzy"

    def __init__(self, folder: Path, card: Card) -> None:
        super().__init__(card)
        self._memory = Memory.read(folder, getattr(self._task.family, "repeats", False))
        self.longest = max(_LEAST, 2 * max(map(self.count, self._memory.targets), default=0))

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        return objects([self._answer_to(item) for item in items])

    def _answer_to(self, item: Item) -> Written:
        text = str(item)
        otherwise = self.clipped(self._task.unanswered(item, self.card.schema.settings))
        known = self._memory.known(text)
        if known is not None:
            return Written(known, 1.0, otherwise)
        match = self._memory.match(text)
        if match is None or self.clipped(match.text) != match.text:
            return Written(otherwise, 0.0, otherwise)
        return Written(match.text, self._memory.sure(match.alike), otherwise)


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> FuzzyEngine:
    """Opens a `fuzzy` version; it answers in its caller's thread, so it takes no streams."""
    return FuzzyEngine(folder, card)


def _narrow(text: str) -> str:
    """`text` with letters, digits and signs of full width as those of ASCII."""
    return text if text.isascii() else text.translate(_NARROW)


def _tokens(text: str, found: Sequence[Slot]) -> list[str]:
    """The words and signs of `text` in lower case, each slot as a mark of its kind."""
    return [
        _MARKS[one.kind] if one.kind else text[one.start : one.end].casefold()
        for one in _pieces(text, found)
    ]


def _pieces(text: str, found: Sequence[Slot]) -> list[Slot]:
    """The words and signs of `text` as slots without a kind, and its slots, in their order."""
    pieces, begin = [], 0
    for slot in [*found, Slot(len(text), len(text), "", "")]:
        for start, end in sequence.tokens(text[begin : slot.start]):
            pieces.append(Slot(begin + start, begin + end, "", ""))
        if slot.kind:
            pieces.append(slot)
        begin = slot.end
    return pieces


def _wordy(text: str) -> str:
    """`text` without its slots."""
    found, begin = [], 0
    for slot in slots(text):
        found.append(text[begin : slot.start])
        begin = slot.end
    return " ".join([*found, text[begin:]])


def _filled(
    text: str, own: Sequence[Slot], source: str, held: Sequence[Slot], target: str
) -> str | None:
    """The known `target` of `source` for `text`: what its slots share with those of `source` is
    that of `text` at the same place. None where a placeholder would be lost or a number be wrong,
    and where `target` does not have those of `source` itself."""
    if [one.kind for one in own] != [one.kind for one in held]:
        return None
    changed = [(old.text, new.text) for old, new in zip(held, own, strict=True)]
    if all(old == new for old, new in changed):
        return target if kept(source, target) else None
    parts, begin = [], 0
    for slot in slots(target):
        place = next((at for at, (old, _) in enumerate(changed) if old == slot.text), None)
        if place is None:
            continue
        parts += [target[begin : slot.start], changed.pop(place)[1]]
        begin = slot.end
    if any(old != new for old, new in changed):
        return None
    filled = "".join([*parts, target[begin:]])
    return filled if kept(text, filled) else None


def _reworded(
    text: str, own: Sequence[Slot], source: str, held: Sequence[Slot], target: str
) -> str:
    """`target` with the words of `text` where it repeats those of `source` that differ."""
    old, new = _pieces(source, held), _pieces(text, own)
    changes: dict[str, str] = {}
    for one, other in _differing(_tokens(source, held), _tokens(text, own)):
        before, after = old[slice(*one)], new[slice(*other)]
        if before and after and not any(piece.kind for piece in (*before, *after)):
            said = source[before[0].start : before[-1].end]
            changes[said] = text[after[0].start : after[-1].end]
    if not changes:
        return target
    several = sorted(map(re.escape, changes), key=len, reverse=True)
    known = re.compile(rf"(?<![^\W{_EAST}])(?:{'|'.join(several)})(?![^\W{_EAST}])")
    return known.sub(lambda found: changes[found.group()], target)


def _differing(
    old: Sequence[str], new: Sequence[str]
) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Begin and end of each run of tokens that differ, in both."""
    from rapidfuzz.distance import Levenshtein

    run = None
    for step in [*Levenshtein.opcodes(old, new), None]:
        if step is not None and step.tag != "equal":
            begin = run or (step.src_start, step.dest_start)
            run = begin
            end = step.src_end, step.dest_end
        elif run is not None:
            yield (run[0], end[0]), (run[1], end[1])
            run = None
