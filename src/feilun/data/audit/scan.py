"""One pass over all rows: some 30 bytes of each stay in memory, whatever the rows hold."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from feilun.data.audit.scripts import WORDLESS, classify, garbled
from feilun.data.clean.steps import is_blank
from feilun.data.content import content_key, repeat_key
from feilun.data.personal import KINDS, find
from feilun.data.splits import SPLITS
from feilun.families.base import PairTally, Tally
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.types import Item

__all__ = ["Scan", "scan", "text_of", "texts"]

_BATCH = 4096
_SHORT = 12
"""Characters up to which a text may be what programs write where nothing was."""
_SPLIT: Mapping[str, int] = {name: number for number, name in enumerate(SPLITS)}


@dataclass(frozen=True, slots=True)
class Scan:
    """Arrays of equal length, one place a row in the order of the data.

    `keys` uint64 (n, 2): of the contents. `labels` int32: places in `names`, -1 without a label.
    `splits` int8. `lengths` uint32: characters, or bytes of a picture. `scripts` uint8: see
    `scripts`; `personal` uint8: a bit for each of `KINDS`; `garbled` and `blank` (nothing in it)
    bool. `text` tells whether the inputs are texts at all; `divided` whether the rows have splits
    that mean something. `tally` is what the task's family saw of the targets, `inspection` what the
    task itself saw of inputs beside them.
    """

    names: tuple[str, ...]
    keys: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    lengths: np.ndarray
    scripts: np.ndarray
    personal: np.ndarray
    garbled: np.ndarray
    blank: np.ndarray
    text: bool
    divided: bool
    tally: Tally | None = None
    inspection: PairTally | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def counts(self) -> dict[str, int]:
        """Rows of each label."""
        found = np.bincount(self.labels[self.labels >= 0], minlength=len(self.names))
        return dict(zip(self.names, found.tolist(), strict=True))


def text_of(item: Item) -> str:
    """The text of an item, its columns one after the other; nothing of media."""
    if isinstance(item, str):
        return item
    if isinstance(item, Mapping):
        return "\n".join(text for value in item.values() if (text := text_of(value)))
    return "" if item is None or isinstance(item, bytes) else str(item)


def texts(data: Dataset) -> Iterator[str]:
    """The text of every row, one at a time."""
    for example in data.examples():
        yield text_of(example.item)


def scan(
    data: Dataset, *, divided: bool = True, tick: Callable[[int], None] = lambda rows: None
) -> Scan:
    """Reads every row of `data` once."""
    names = list(data.schema.labels)
    places = {name: place for place, name in enumerate(names)}
    keys, personal, broken, blank = bytearray(), bytearray(), bytearray(), bytearray()
    labels, splits, lengths = array("i"), array("b"), array("I")
    found: list[np.ndarray] = []
    batch: list[str] = []
    is_text = all(kind == "text" for kind in data.columns.values())
    bits = {kind: 1 << place for place, kind in enumerate(KINDS)}
    task = tasks.of(data.schema)
    tally, inspection = task.family.tally(), task.inspection()
    for example in data.examples():
        item = example.item
        if tally is not None and example.label:
            tally.add(example.label)
        if inspection is not None and example.label:
            inspection.add(len(labels), item, example.label)
        keys += repeat_key(task, content_key(item), example.label)
        labels.append(places.get(example.label or "", -1))
        splits.append(_SPLIT[example.split])
        text = text_of(item)
        lengths.append(len(item) if isinstance(item, bytes) else len(text))
        mask = 0
        for span in find(text) if text else ():
            mask |= bits[span.kind]
        personal.append(mask)
        broken.append(garbled(text))
        batch.append(text)
        if len(batch) == _BATCH:
            found.append(classify(batch))
            _blanks(blank, batch, found[-1])
            batch = []
            tick(len(labels))
    found.append(classify(batch))
    _blanks(blank, batch, found[-1])
    tick(len(labels))
    return Scan(
        names=tuple(names),
        keys=np.frombuffer(bytes(keys), ">u8").reshape(-1, 2).astype(np.uint64),
        labels=np.frombuffer(labels, np.int32),
        splits=np.frombuffer(splits, np.int8),
        lengths=np.frombuffer(lengths, np.uint32),
        scripts=np.concatenate(found),
        personal=np.frombuffer(bytes(personal), np.uint8),
        garbled=np.frombuffer(bytes(broken), np.uint8).astype(bool),
        blank=np.frombuffer(bytes(blank), np.uint8).astype(bool),
        text=is_text,
        divided=divided,
        tally=tally,
        inspection=inspection,
    )


def _blanks(found: bytearray, batch: list[str], scripts: np.ndarray) -> None:
    """Appends whether there is nothing in each text of the batch."""
    for text, script in zip(batch, scripts.tolist(), strict=True):
        found.append((script == WORDLESS or len(text) < _SHORT) and is_blank(text))
