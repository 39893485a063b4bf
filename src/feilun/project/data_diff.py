"""What tells two data versions apart: rows that came, left, or bear another label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from feilun.data.clean.tally import step_words
from feilun.data.splits import SPLITS
from feilun.errors import NotFound
from feilun.families.base import Family
from feilun.messages import t
from feilun.project.scope import Scope
from feilun.store.dataset import INPUT, Dataset
from feilun.store.records import DataVersion
from feilun.table import Result, Table

__all__ = ["DataDiff", "SplitDiff", "diff", "net"]

_LABELS = 20  # labels named in a sentence


@dataclass(frozen=True, slots=True)
class SplitDiff:
    """Rows of one split: how many there were, how many `came` and `left`, how many came from
    another split or went to one (`moved_in`, `moved_out`), of those that stayed how many are
    `relabelled` and how many have another input (`mended`), and how many there are."""

    before: int
    came: int
    left: int
    moved_in: int
    moved_out: int
    relabelled: int
    mended: int
    after: int


@dataclass(frozen=True)
class DataDiff(Result):
    """How `version` differs from `against` (None: it is the first), by split, and which labels came
    and went. `cleaned` are the steps of the cleanings that made `version`, with their rows: a row
    without an id of its own whose input they changed left, and came as another."""

    version: str
    against: str | None
    splits: Mapping[str, SplitDiff]
    labels_came: Sequence[str]
    labels_went: Sequence[str]
    cleaned: Sequence[Mapping[str, Any]] = ()
    _family: Family | None = None

    def tables(self) -> Sequence[Table]:
        mended = any(one.mended for one in self.splits.values())
        names = ("before", "came", "left", "relabelled", *(["mended"] if mended else []), "after")
        columns = [t("project.split"), *(t(f"project.diff_{name}") for name in names)]
        rows = [
            [t(f"project.split_{name}"), *(f"{asdict(one)[key]:,}" for key in names)]
            for name, one in self.splits.items()
        ]
        notes = [
            t("project.diff_moved", rows=one.moved_in, split=t(f"project.split_{name}"))
            for name, one in self.splits.items()
            if one.moved_in
        ]
        if self.cleaned:
            notes.append(t("project.diff_cleaned", steps=step_words(self.cleaned)))
        called = self._family.called if self._family is not None else str
        for key, labels in (("came", self.labels_came), ("went", self.labels_went)):
            if labels:
                shown = [*map(called, labels[:_LABELS]), *(["…"] if len(labels) > _LABELS else [])]
                notes.append(t(f"project.diff_labels_{key}", count=len(labels), labels=shown))
        if self.against is None:
            title = t("project.diff_first", version=self.version)
        else:
            title = t("project.diff_title", version=self.version, against=self.against)
        return (Table(title, columns, rows, notes),)


def diff(scope: Scope, version: str | None = None, against: str | None = None) -> DataDiff:
    """See `Project.diff_data`."""
    versions = scope.store.catalog.data_versions(scope.name)
    if not versions:
        raise NotFound("project.no_data", project=scope.name)
    place = versions.index(_named(scope, versions, version)) if version else len(versions) - 1
    new, old = versions[place], versions[place - 1] if place else None
    if against:
        old = _named(scope, versions, against)
    artifacts = scope.store.artifacts
    base = str(artifacts.path(old.artifact)) if old is not None else None
    splits = _compared(str(artifacts.path(new.artifact)), base)
    before, after = _labels(old.counts if old else {}), _labels(new.counts)
    return DataDiff(
        new.id,
        old.id if old else None,
        splits,
        [name for name in after if name not in before],
        [name for name in before if name not in after],
        new.info.get("mended") or (),
        scope.task.family,
    )


def net(version: DataVersion, before: DataVersion | None) -> str:
    """By how many rows `version` is larger or smaller than the one `before`: ``+12``, ``−3``."""
    more = _size(version.counts) - (_size(before.counts) if before is not None else 0)
    return f"{more:+,}".replace("-", "−") if more else "0"


def _named(scope: Scope, versions: Sequence[DataVersion], name: str) -> DataVersion:
    wanted = name if ":" in name else f"{scope.name}:{name}"
    found = next((one for one in versions if one.id == wanted), None)
    if found is None:
        raise NotFound("clean.no_version", name=name, options=[one.id for one in versions])
    return found


def _size(counts: Mapping[str, Mapping[str, int]]) -> int:
    return sum(sum(split.values()) for split in counts.values())


def _labels(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """The strata that have rows in some split, but for rows without a label."""
    found = {name: None for split in counts.values() for name, rows in split.items() if rows}
    return [name for name in found if name]


@lru_cache(32)  # a data version never changes
def _compared(new: str, old: str | None) -> Mapping[str, SplitDiff]:
    """The rows of the folders `new` and `old`, matched by their ids, by split. Only the columns
    that both have are compared; media by their hashes. Some 130 bytes a row are held, whatever the
    rows say."""
    import pyarrow as pa
    import pyarrow.compute as pc

    later, earlier = Dataset(Path(new)), Dataset(Path(old)) if old else None
    inputs = [INPUT + n for n in later.columns if earlier is not None and n in earlier.columns]
    after = _Rows.of(later, inputs)
    before = _Rows.of(earlier, inputs) if earlier is not None else _Rows.none()
    found = pc.index_in(after.ids, value_set=before.ids)
    stays = np.asarray(found.is_valid())
    places = np.asarray(found.drop_null(), np.int64)
    kept, was = after.take(np.flatnonzero(stays)), before.take(places)
    gone = np.ones(len(before.split), bool)
    gone[places] = False  # several rows of one id would each be found at the first
    gone[gone] = ~np.asarray(pc.is_in(before.ids.filter(pa.array(gone)), value_set=after.ids))
    moved = kept.split != was.split
    relabelled, mended = kept.label != was.label, kept.input != was.input

    def count(rows: _Rows, split: str, mask: np.ndarray | None = None) -> int:
        inside = rows.split == SPLITS.index(split)
        return int(np.count_nonzero(inside if mask is None else inside & mask))

    return {
        split: SplitDiff(
            before=count(before, split),
            came=count(after, split, ~stays),
            left=count(before, split, gone),
            moved_in=count(kept, split, moved),
            moved_out=count(was, split, moved),
            relabelled=count(kept, split, relabelled),
            mended=count(kept, split, mended),
            after=count(after, split),
        )
        for split in SPLITS
    }


@dataclass(frozen=True, slots=True)
class _Rows:
    """Of each row its id (a `pyarrow.Array`), the place of its split in `SPLITS` (int8), and what
    its label and its input say as numbers of 64 bits, equal within this process for equal ones and
    else not, but for one pair in 10^19."""

    ids: Any
    split: np.ndarray
    label: np.ndarray
    input: np.ndarray

    @classmethod
    def of(cls, data: Dataset, inputs: Sequence[str]) -> _Rows:
        """Those of a data version, of whose columns `inputs` are looked at."""
        import pyarrow as pa
        import pyarrow.compute as pc

        names, parts = pa.array(SPLITS), [cls.none()]
        for batch in data.batches(["row_id", "split", "label", *inputs]):
            split = np.asarray(pc.index_in(batch["split"], value_set=names), np.int8)
            label, asked = _digests(batch, ["label"]), _digests(batch, inputs)
            parts.append(cls(batch["row_id"], split, label, asked))
        ids = pa.concat_arrays([part.ids for part in parts])
        arrays = [[getattr(part, name) for part in parts] for name in ("split", "label", "input")]
        return cls(ids, *map(np.concatenate, arrays))

    @classmethod
    def none(cls) -> _Rows:
        import pyarrow as pa

        nothing = np.zeros(0, np.int64)
        return cls(pa.array([], pa.string()), nothing.astype(np.int8), nothing, nothing)

    def take(self, places: np.ndarray) -> _Rows:
        """The rows at `places`, without their ids."""
        return _Rows(None, self.split[places], self.label[places], self.input[places])


def _digests(batch: Any, columns: Sequence[str]) -> np.ndarray:
    """A number for what `columns` of each row say; nothing is as nothing."""
    if not columns:
        return np.zeros(batch.num_rows, np.int64)
    said = zip(*(batch[name].cast("string").to_pylist() for name in columns), strict=True)
    return np.fromiter(map(hash, said), np.int64, batch.num_rows)
