"""More rows to learn from: changed copies of training rows, more of the rarer labels.

A copy goes through one or two of the task's changes, drawn by the seed, the row and the copy's
number alone: the same job meets the same copies, also after a kill. Copies are made when they are
asked for, so that pictures stay on disk. In training every label keeps the weight that its own rows
give it: copies of a rare label make it better known, not more expected.

``auto`` asks whether copies help, on rows of the training split held out fold by fold: logistic
regression learns with and without them, and they stay only if the loss on the held-out rows is
surely smaller and no fewer of them are right. ``linear`` and ``head`` ask their own features; where
a training takes minutes, the features of the linear baseline answer for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from feilun.errors import UsageError
from feilun.messages import t
from feilun.messages.words import in_words
from feilun.metrics.intervals import paired_difference
from feilun.modalities.noise import Disturbance
from feilun.tasks import base as tasks
from feilun.training.job import TrainJob
from feilun.training.logistic import Fitted
from feilun.training.rows import Rows
from feilun.types import Item

__all__ = ["FEW", "Added", "Augmented", "added", "copies", "counted", "helps", "said"]

FEW = 2000
"""Training rows above which ``auto`` does not try: rows of one's own teach more than copies."""
_MOST = 4
_SURE = 0.9  # of an interval whose lower end decides: one in twenty useless trials passes


class Augmented(Sequence[Item]):
    """The `items`, and behind them changed copies of those at `places`."""

    def __init__(
        self,
        items: Sequence[Item],
        places: np.ndarray,
        changes: Sequence[Disturbance],
        seed: int,
    ) -> None:
        self._items, self._places = items, places
        self._changes, self._seed = tuple(changes), seed

    def __len__(self) -> int:
        return len(self._items) + len(self._places)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[n] for n in range(*place.indices(len(self)))]
        place = int(place) + (len(self) if place < 0 else 0)
        copy = place - len(self._items)
        if copy < 0:
            return self._items[place]
        item = self._items[int(self._places[copy])]
        draw = np.random.default_rng((self._seed, int(self._places[copy]), copy))
        count = min(len(self._changes), 1 + int(draw.integers(2)))
        for chosen in draw.choice(len(self._changes), count, replace=False).tolist():
            item = self._changes[chosen](item, draw)
        return item


@dataclass(frozen=True, slots=True)
class Added:
    """The rows of a training: `rows` are the originals, `more` the same with copies behind them,
    `origins` the row that each of `more` comes from. `asked` tells that the project names the
    changes itself, so that nothing is tried. `names` are the changes."""

    rows: Rows
    more: Rows
    origins: np.ndarray
    asked: bool
    names: tuple[str, ...]


def added(job: TrainJob, augment: str | Sequence[str], share: float, rows: Rows) -> Added | None:
    """`rows` with the copies that the settings want, or want to be tried; None for none."""
    changes = _changes(job, augment, len(rows))
    if not changes:
        return None
    places = copies(rows.labels, share, job.seed)
    items = Augmented(rows.items, places, changes, job.seed)
    origins = np.concatenate([np.arange(len(rows)), places])
    groups = None if rows.groups is None else rows.groups[origins]
    more = Rows(items, rows.labels[origins], groups=groups)
    names = tuple(change.name for change in changes)
    return Added(rows, more, origins, augment != "auto", names)


def counted(job: TrainJob, augment: str | Sequence[str], share: float, rows: int) -> int:
    """Training rows with their copies, for the fit check. Raises as `added` does."""
    return round(rows * (1 + share)) if _changes(job, augment, rows) else rows


def _changes(job: TrainJob, augment: str | Sequence[str], rows: int) -> list[Disturbance]:
    """The changes to learn from. Raises `UsageError` for a name that the task does not offer."""
    task = tasks.get(job.task).bound(job.task_settings)
    known = task.disturbances()
    if augment == "off" or not task.family.invariant:
        return []
    if augment == "auto":
        if rows > FEW or job.previous is not None:
            return []
        return [change for change in known.values() if change.teaches]
    names = [augment] if isinstance(augment, str) else list(augment)
    for name in names:
        if name not in known:
            raise UsageError("augment.unknown", name=name, options=[*known, "auto", "off"])
    return [known[name] for name in dict.fromkeys(names)]


def copies(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """The row of each of about `share` times as many copies. Labels are filled up from the rarest
    towards one common number, but no row is copied more than 4 times as often as `share` says: a
    label of three rows stays a label of three rows."""
    present, counts = np.unique(labels, return_counts=True)
    most = np.ceil(_MOST * max(1.0, share) * counts)
    low, high = 0.0, float(counts.max() + most.max())
    for _ in range(60):
        level = (low + high) / 2
        enough = np.clip(level - counts, 0, most).sum() >= share * len(labels)
        low, high = (low, level) if enough else (level, high)
    generator = np.random.default_rng(seed)
    places = []
    for label, count, limit in zip(present, counts, most, strict=True):
        number = int(min(limit, max(0, round(high - count))))
        own = generator.permutation(np.flatnonzero(labels == label))
        places.append(np.resize(own, number))
    return np.sort(np.concatenate(places)).astype(np.int64)


def helps(without: Fitted, with_copies: Fitted) -> bool:
    """Whether the same unseen rows are surely answered better by the model that learned from
    copies too: a smaller loss, and no fewer right answers."""
    before, after = without.losses, with_copies.losses
    if before is None or after is None or not len(before) or len(before) != len(after):
        return False
    assert without.right is not None
    assert with_copies.right is not None
    surely = paired_difference(before, after, confidence=_SURE).low > 0
    return surely and bool(with_copies.right.sum() >= without.right.sum())


def said(found: Added, without: Fitted | None, with_copies: Fitted | None = None) -> str:
    """The note of a training: what was tried, what it gave, and whether it stayed. Without two
    models nothing was tried."""
    number = len(found.more) - len(found.rows)
    names = [in_words("robustness.name_*", name) for name in found.names]
    if without is None or with_copies is None:
        return t("augment.asked", copies=number, names=names)
    if with_copies.right is None or without.right is None:
        return t("augment.not_tried", names=names)
    figures: dict[str, Any] = {
        "copies": number,
        "names": names,
        "before": f"{100 * without.right.mean():.1f}",
        "after": f"{100 * with_copies.right.mean():.1f}",
        "loss_before": f"{without.loss:.3f}",
        "loss_after": f"{with_copies.loss:.3f}",
        "rows": len(without.right),
    }
    if helps(without, with_copies):
        return t("augment.kept", **figures)
    return t("augment.dropped", **figures)
