"""What tells two data versions apart: rows that came, left, or bear another label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

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
    that both have are compared; media by their hashes."""
    import pyarrow.compute as pc

    later, earlier = Dataset(Path(new)), Dataset(Path(old)) if old else None
    inputs = [INPUT + n for n in later.columns if earlier is not None and n in earlier.columns]
    after = _table(later, inputs)
    before = _table(earlier, inputs) if earlier is not None else after.slice(0, 0)
    places = pc.index_in(after["row_id"], before["row_id"].combine_chunks())
    stays = pc.is_valid(places)
    kept, was = after.filter(stays), before.take(pc.drop_null(places))
    gone = before.filter(pc.invert(pc.is_in(before["row_id"], after["row_id"].combine_chunks())))
    came = after.filter(pc.invert(stays))
    moved = pc.not_equal(kept["split"], was["split"])
    relabelled = _differ(kept, was, ["label"])
    mended = _differ(kept, was, inputs)

    def count(table: Any, split: str, mask: Any = None) -> int:
        inside = pc.equal(table["split"], split)
        return int(pc.sum(pc.and_(inside, mask) if mask is not None else inside).as_py() or 0)

    return {
        split: SplitDiff(
            before=count(before, split),
            came=count(came, split),
            left=count(gone, split),
            moved_in=count(kept, split, moved),
            moved_out=count(was, split, moved),
            relabelled=count(kept, split, relabelled),
            mended=count(kept, split, mended),
            after=count(after, split),
        )
        for split in SPLITS
    }


def _table(data: Dataset, inputs: Sequence[str]) -> Any:
    import pyarrow as pa

    names = ["row_id", "split", "label", *inputs]
    batches = list(data.batches(names))
    return pa.Table.from_batches(batches) if batches else pa.table({n: pa.array([]) for n in names})


def _differ(one: Any, other: Any, columns: Sequence[str]) -> Any:
    """Where rows differ in some of these columns; nothing differs from nothing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = pa.chunked_array([pa.array([False] * one.num_rows, pa.bool_())])
    for name in columns:
        a, b = (table[name].cast("string") for table in (one, other))
        both = pc.fill_null(pc.not_equal(a, b), False)
        lacks = pc.xor(pc.is_null(a), pc.is_null(b))
        found = pc.or_(found, pc.or_(both, lacks))
    return found
