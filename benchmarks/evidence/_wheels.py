"""Rows that a wheel turns on: of each data set what a version learns and how it answers, and which
rows come only with a shift."""

from __future__ import annotations

import re
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from benchmarks.evidence._few import named

from feilun.engines.base import open_engine
from feilun.engines.linear import pick, weigh
from feilun.families.spans import SPANS
from feilun.metrics.measured import Measured
from feilun.metrics.share import Share
from feilun.store.dataset import DatasetWriter
from feilun.tasks import base as tasks
from feilun.tasks.base import fit_features
from feilun.training import logistic
from feilun.training.job import TrainJob
from feilun.training.logistic import Matrix
from feilun.training.methods import crf
from feilun.types import Example, Schema

__all__ = ["NAMES", "SHIFTS", "Pool", "Version", "pool"]

NAMES = ("English", "Chinese", "digits", "churn", "entities")
SHIFTS: dict[str, tuple[str, ...]] = {
    "English": ("group", "wording"),
    "Chinese": ("group", "wording"),
    "digits": ("group", "label"),
    "churn": ("group",),
    "entities": ("group", "wording", "label"),
}
"""The kinds of shift that each data set can have: other rows, other words, another label."""
STRENGTH = 10.0
RENAMED = 2
"""Of so many words one is called otherwise."""
_NEW = {"digits": ("8", "9"), "entities": ("ORG",)}
"""Labels that come with a shift of labels."""
_ENTITIES = 6000
"""Paragraphs that are taken: each is answered many times."""
_CRF = crf.Settings(improvement=0.02, min_count=2)
"""On 600 paragraphs as good as the defaults (F1 .743 and .748) in three fifths of their time."""
_WORD = re.compile(r"[^\W\d_]+")


class Version(Protocol):
    """A model of some rows."""

    def answers(self, rows: np.ndarray) -> tuple[np.ndarray, float]:
        """What it says to `rows`, and the seconds of the processor that it takes."""
        ...

    def knows(self, rows: np.ndarray) -> np.ndarray:
        """Whose labels it has met."""
        ...


class Pool(Protocol):
    """All rows of one data set. `usual` (rows,) tells how usual a row is, 0 to 1; `fresh` (rows,)
    which have a label that comes with a shift of labels. With another wording the rows stand there
    twice: row ``n + count`` says what row ``n`` says in other words."""

    metric: str
    count: int
    usual: np.ndarray
    fresh: np.ndarray

    def learned(self, rows: np.ndarray) -> Version:
        """A version that learned `rows`."""
        ...

    def measured(self, rows: np.ndarray, said: np.ndarray) -> Measured:
        """What was `said` to `rows`, measured."""
        ...

    def wrong(self, rows: np.ndarray, said: np.ndarray) -> np.ndarray:
        """Which of `rows` it is wrong for."""
        ...


@cache
def pool(name: str, wording: bool = False) -> Pool:
    """One of `NAMES`, with its other `wording` beside it if that is wanted."""
    if name == "churn":
        return _churn()
    if name == "entities":
        return _entities(wording)
    rows = named(name)
    items, words = rows.items, rows.labels
    if name != "digits":  # equal texts are one
        first = list({text: place for place, text in reversed(list(enumerate(items)))}.values())
        items, words = [items[place] for place in first], [words[place] for place in first]
    count = len(items)
    task = tasks.get(rows.task)
    features = task.features(rows.settings if name == "digits" else {"feature_bits": 16})
    both = [*items, *(renamed(str(text)) for text in items)] if wording else list(items)
    begun = time.process_time()
    counted = features.transform(both)
    reading = (time.process_time() - begun) / len(both)
    names = sorted(set(words))
    labels = np.array([names.index(word) for word in words])
    if name == "digits":
        usual = np.argsort(np.argsort(np.asarray(counted).sum(axis=1)))
    else:
        usual = np.argsort(np.argsort([len(text) for text in items], kind="stable"))
    fresh = np.isin([names[label] for label in labels], _NEW.get(name, ()))
    labels = np.tile(labels, 2) if wording else labels
    return _Linear(counted, labels, count, usual / count, fresh, name != "digits", reading)


def renamed(text: str) -> str:
    """`text` with every second word under another name, the same in all texts: letters stand in
    other places, a character of a script without spaces becomes one that no text has."""

    def other(found: re.Match[str]) -> str:
        word = found[0]
        if not word.isascii():
            return "".join(map(_other_character, word))
        return _turned(word) if _lot(word.lower()) else word

    return _WORD.sub(other, text)


def _other_character(one: str) -> str:
    return chr(0xAC00 + ord(one) % 11172) if _lot(one) else one


def _turned(word: str) -> str:
    return word[::-1].translate(str.maketrans("aeiouAEIOU", "eioauEIOAU"))


def _lot(word: str) -> bool:
    return blake2b(word.encode(), digest_size=4).digest()[0] % RENAMED == 0


def _churn() -> Pool:
    from benchmarks.tasks.tabular import TASK, load

    found = load("wa_churn")
    task = tasks.get(TASK).bound(found.settings)
    features = fit_features(task.features(found.settings), found.items)
    begun = time.process_time()
    counted = features.transform(found.items)
    reading = (time.process_time() - begun) / len(found.items)
    order = np.argsort([float(row["tenure"] or 0) for row in found.items], kind="stable")
    count, fresh = len(order), np.zeros(len(order), bool)
    return _Linear(counted, found.truth, count, np.argsort(order) / count, fresh, False, reading)


@dataclass(frozen=True, eq=False)
class _Linear:
    """Counted features and labels; `reading` is how many seconds the features of a row take."""

    counted: Matrix
    labels: np.ndarray
    count: int
    usual: np.ndarray
    fresh: np.ndarray
    sparse: bool
    reading: float
    metric: str = "accuracy"

    def learned(self, rows: np.ndarray) -> Version:
        return _LinearVersion(self, rows)

    def measured(self, rows: np.ndarray, said: np.ndarray) -> Measured:
        return Share(~self.wrong(rows, said))

    def wrong(self, rows: np.ndarray, said: np.ndarray) -> np.ndarray:
        found: np.ndarray = said != self.labels[rows]
        return found


class _LinearVersion:
    def __init__(self, data: _Linear, train: np.ndarray) -> None:
        self._data, self._columns, self._idf = data, None, None
        if data.sparse:
            occurs = np.bincount(data.counted[train].indices, minlength=data.counted.shape[1])
            self._columns = np.flatnonzero(occurs >= 2).astype(np.int32)
            self._idf = (np.log((1 + len(train)) / (1 + occurs[self._columns])) + 1).astype("f4")
        # Labels that it has not met it does not know.
        self._known, targets = np.unique(data.labels[train], return_inverse=True)
        learnt, strengths = self._weighed(train), (STRENGTH if data.sparse else 1.0,)
        nobody = (learnt[:0], targets[:0])
        self._model = logistic.fit(learnt, targets, len(self._known), nobody, strengths=strengths)

    def _weighed(self, rows: np.ndarray) -> Matrix:
        part = self._data.counted[rows]
        return weigh(part if self._columns is None else pick(part, self._columns), self._idf)

    def answers(self, rows: np.ndarray) -> tuple[np.ndarray, float]:
        begun = time.process_time()
        logits = self._weighed(rows) @ self._model.coef.T + self._model.intercept
        said: np.ndarray = self._known[logits.argmax(axis=1)]
        return said, time.process_time() - begun + self._data.reading * len(rows)

    def knows(self, rows: np.ndarray) -> np.ndarray:
        return np.isin(self._data.labels[rows], self._known)


def _entities(wording: bool) -> Pool:
    from benchmarks.tasks.entities import load

    found = load()[:_ENTITIES]
    texts, spans = [text for text, _ in found], [tuple(sorted(said)) for _, said in found]
    usual = np.argsort(np.argsort([len(text) for text in texts], kind="stable")) / len(texts)
    new = _NEW["entities"]
    fresh = np.array([any(kind in new for *_, kind in said) for said in spans])
    count = len(texts)
    if wording:
        texts, spans = [*texts, *map(renamed, texts)], [*spans, *spans]
    return _Entities(texts, spans, count, usual, fresh)


@dataclass(frozen=True, eq=False)
class _Entities:
    texts: list[str]
    spans: list[tuple[Any, ...]]
    count: int
    usual: np.ndarray
    fresh: np.ndarray
    metric: str = "f1"
    names: tuple[str, ...] = ("LOC", "ORG", "PER")

    def learned(self, rows: np.ndarray) -> Version:
        return _EntitiesVersion(self, rows)

    def measured(self, rows: np.ndarray, said: np.ndarray) -> Measured:
        return SPANS.measured(self._truth(rows), said, self.names, SPANS.neutral())

    def wrong(self, rows: np.ndarray, said: np.ndarray) -> np.ndarray:
        found = [tuple(sorted((one.start, one.end, one.label) for one in row)) for row in said]
        return np.array([one != own for one, own in zip(found, self._truth(rows), strict=True)])

    def _truth(self, rows: np.ndarray) -> np.ndarray:
        truth = np.empty(len(rows), object)
        for place, row in enumerate(rows.tolist()):
            truth[place] = self.spans[row]
        return truth


class _EntitiesVersion:
    """Conditional random fields, opened from a folder that goes with them."""

    def __init__(self, data: _Entities, train: np.ndarray) -> None:
        self._data, self._folder = data, tempfile.TemporaryDirectory()
        self._whole = bool(data.fresh[train % data.count].any())
        folder = Path(self._folder.name)
        settings = tasks.get("token-classification").Settings().model_dump()
        with DatasetWriter(folder / "data", {"text": "text"}, SPANS.stratum) as writer:
            for row in train.tolist():
                target = SPANS.target(list(data.spans[row]))
                writer.add(Example(f"row-{row}", data.texts[row], target))
            writer.close(Schema("token-classification", data.names, settings))
        for name in ("out", "scratch"):
            (folder / name).mkdir()
        job = TrainJob(
            "crf",
            "token-classification",
            folder / "data",
            None,
            folder / "out",
            folder / "scratch",
            task_settings=settings,
        )
        crf.train(job, _CRF, lambda progress: None)
        self._engine = open_engine(folder / "out")

    def answers(self, rows: np.ndarray) -> tuple[np.ndarray, float]:
        begun = time.process_time()
        said = self._engine.raw([self._data.texts[row] for row in rows.tolist()])
        return said, time.process_time() - begun

    def knows(self, rows: np.ndarray) -> np.ndarray:
        fresh = self._data.fresh
        return np.full(len(rows), True) if self._whole else ~fresh[rows % len(fresh)]
