"""A corpus: rows without labels, kept beside the data versions.

It is for looking: at what is still to be labelled (`sample` draws rows for it), and at whether a
base model's tokenizer reads the texts at all. Nothing that judges sees it, and of what trains only
methods with a setting ``corpus``. Its name is a source of rows like a file's (`place`), so that a
language model can learn what another project has kept. Rows lie as a data version's do; what a
corpus is stands in the catalog's settings under ``corpus:NAME:NUMBER``.
"""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from feilun.data._bad_rows import BadRows
from feilun.data._ticker import Ticker
from feilun.data.content import content_key
from feilun.data.export import Exported, export
from feilun.data.reading import Reading, is_empty, open_readings, row_id
from feilun.data.sources.base import AS_FOUND, BadRow, Held, Options, ReadOptions, Source
from feilun.errors import InvalidData, NotFound, UsageError
from feilun.messages import t
from feilun.project.looks import base_processor
from feilun.project.results import Listing
from feilun.project.scope import Scope
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.table import Result, Table
from feilun.types import Example, Item, Progress, Schema

__all__ = ["Corpus", "add", "corpora", "dataset", "listing", "place", "replace_rows", "sample"]

_ASKED = 1000
"""Rows, the first ones, that the tokenizer is tried on."""
_NAME = re.compile(r"([^/\\:]+):corpus\d+")


@dataclass(frozen=True)
class Corpus(Result):
    """One corpus: its rows, what was left out, and the share of its first rows' tokens that the
    base model does not know (None where there is no base at hand)."""

    id: str
    artifact: str
    rows: int
    characters: int
    duplicates: int
    bad: int
    sources: Sequence[str]
    unknown: float | None
    created: str

    def tables(self) -> Sequence[Table]:
        facts = [
            [t("project.rows"), f"{self.rows:,}"],
            [t("corpus.characters"), f"{self.characters:,}"],
            [t("project.duplicates"), f"{self.duplicates:,}"],
            [t("project.bad_rows"), f"{self.bad:,}"],
            [t("corpus.sources"), ", ".join(self.sources)],
        ]
        if self.unknown is not None:
            facts.append([t("corpus.unknown"), f"{100 * self.unknown:.1f} %"])
        notes = [t("corpus.next", corpus=self.id)]
        return (Table(t("corpus.added", corpus=self.id), ["", ""], facts, notes),)


def add(
    scope: Scope,
    sources: Sequence[Any],
    *,
    columns: Mapping[str, str] | None = None,
    query: str | None = None,
    report: Callable[[Progress], None] | None = None,
    read: ReadOptions = AS_FOUND,
) -> Corpus:
    """The rows of `sources` as a corpus of their own; labels they may have are not kept. Equal
    contents become one row; some 100 bytes a row are held. Raises `InvalidData` as `Project.add`
    does, and then there is no corpus."""
    if not sources:
        raise UsageError("project.no_sources")
    with scope.store.lock(scope.name):
        return _add(scope, sources, columns or {}, read.options(query), report)


def _add(
    scope: Scope,
    sources: Sequence[Any],
    columns: Mapping[str, str],
    options: Options,
    report: Callable[[Progress], None] | None,
) -> Corpus:
    config, store, task = scope.config(), scope.store, scope.task
    context = scope.context()
    places = [Held.place(source) for source in sources]
    given = {r: c for r, c in {**config.data.columns, **columns}.items() if r != "label"}
    bad = BadRows(scope.file.parent / "bad_rows.jsonl")
    out = store.artifacts.new()
    first: list[Item] = []
    seen: set[bytes] = set()
    duplicates = characters = 0
    kinds = {column.name: column.kind for column in task.columns}
    try:
        with DatasetWriter(out, kinds) as writer:
            for place in places:
                source = Source(place, options, given)
                for example in _usable(source, scope, bad, Ticker(report)):
                    key = content_key(example.item)
                    if key in seen:
                        duplicates += 1
                        continue
                    seen.add(key)
                    writer.add(
                        replace(example, label=None, split="train", row_id=row_id(example, task))
                    )
                    characters += _length(example.item)
                    if len(first) < _ASKED:
                        first.append(example.item)
            if not seen:
                raise InvalidData("data.no_rows", files=[str(place) for place in places])
            writer.close(Schema(task.name, (), context.task_settings()), {"corpus": True})
        processor = base_processor(context)
        unknown = getattr(processor, "unknown_share", None)
        ref = store.publish(out, "corpus").ref
        number = len(corpora(scope)) + 1
        made = Corpus(
            id=f"{scope.name}:corpus{number}",
            artifact=ref,
            rows=len(seen),
            characters=characters,
            duplicates=duplicates,
            bad=bad.count,
            sources=[Path(str(place)).name for place in places],
            unknown=round(float(unknown(first)), 4) if unknown else None,
            created=datetime.now(UTC).isoformat(),
        )
        store.catalog.set_setting(f"corpus:{scope.name}:{number:06d}", asdict(made))
    finally:
        bad.close()
        shutil.rmtree(out, ignore_errors=True)
    return made


def _usable(source: Source, scope: Scope, bad: BadRows, tick: Ticker) -> Iterator[Example]:
    for reading in open_readings(source, scope.task, need_label=False):
        table = reading.table
        tick.begin("read", table.total, table.unit, table.position)
        count = 0
        for count, row in enumerate(_unlabelled(reading), 1):
            if not count % 1000:
                tick(count)
            if isinstance(row, BadRow):
                bad.add(table.name, row)
            elif is_empty(row.item):
                empty = {"column": ", ".join(reading.roles.inputs.values())}
                bad.add(table.name, BadRow(count, "data.empty_input", empty, {}))
            else:
                yield row
        tick(count, last=True)


def _unlabelled(reading: Reading) -> Iterator[Example | BadRow]:
    # What looks like a label is not read: a strange one is no reason to refuse the row.
    return iter(replace(reading, roles=replace(reading.roles, label=None)))


def _length(item: Item) -> int:
    if isinstance(item, Mapping):
        return sum(len(value) for value in item.values() if isinstance(value, str))
    return len(item) if isinstance(item, str) else 0


def corpora(scope: Scope) -> list[Corpus]:
    """The corpora of the project, oldest first."""
    return [Corpus(**one) for one in scope.store.catalog.corpora(scope.name)]


def place(scope: Scope, given: Any) -> str | Held:
    """Where the rows of a source are (see `Held.place`); those of a corpus of any project of the
    workspace, given by its name, are read one by one where they lie. Raises `NotFound` naming the
    project's corpora where it has none of this name."""
    found = Held.place(given)
    named = _NAME.fullmatch(found) if isinstance(found, str) else None
    if named is None or Path(str(found)).exists():
        return found
    kept = {one["id"]: one for one in scope.store.catalog.corpora(named[1])}
    if found not in kept:
        raise NotFound("corpus.none", name=found, options=list(kept) or "-")
    return Held(_Rows(Dataset(scope.store.artifacts.path(kept[found]["artifact"]))), str(found))


@dataclass(frozen=True)
class _Rows:
    """The rows of a corpus as a table's, each time anew from the first."""

    data: Dataset

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        (first, *_) = self.data.columns
        for one in self.data.examples():
            item = one.item if isinstance(one.item, Mapping) else {first: one.item}
            yield {**item, "subject": one.subject or None}


def replace_rows(scope: Scope, artifact: str, instead: str, rows: int) -> None:
    """Puts the artifact `instead`, of `rows` rows, in place of `artifact`: rows were erased."""
    catalog = scope.store.catalog
    for key, one in catalog.settings(f"corpus:{scope.name}:").items():
        if one["artifact"] == artifact:
            catalog.set_setting(key, {**one, "artifact": instead, "rows": rows})


def dataset(scope: Scope, name: str | None = None) -> Dataset:
    """The rows of one corpus (``reviews:corpus2``, or ``2``), of the latest by default; its labels
    are those of the latest data version, to choose from. Raises `NotFound` naming those there
    are."""
    known = corpora(scope)
    wanted = [
        one for one in known if name is None or name in (one.id, one.id.rpartition("corpus")[2])
    ]
    if not wanted:
        options = [one.id for one in known] or "-"
        raise NotFound("corpus.none", name=name or "", options=options)
    store = scope.store
    data = Dataset(store.artifacts.path(wanted[-1].artifact))
    latest = store.catalog.latest_data(scope.name)
    if latest is not None:
        labels = Dataset(store.artifacts.path(latest.artifact)).schema.labels
        data.schema = replace(data.schema, labels=labels)
    return data


def listing(scope: Scope) -> Listing:
    """The corpora as a list."""
    rows = [one.to_json() for one in corpora(scope)]
    shown = [[r["id"], ", ".join(r["sources"]), f"{r['rows']:,}"] for r in rows]
    columns = [t("corpus.corpus"), t("corpus.sources"), t("project.rows")]
    return Listing(rows, Table(scope.called, columns if rows else (), shown, [t("corpus.about")]))


def sample(
    scope: Scope,
    out: Path,
    *,
    name: str | None = None,
    rows: int = 200,
    seed: int = 0,
    format: str | None = None,
) -> Exported:
    """Writes `rows` rows of a corpus, drawn by lot, to the new file `out` for labelling, in a
    format of `feilun.data.export`."""
    data = dataset(scope, name)
    draw = random.Random(seed)
    held: list[str] = []
    for number, example in enumerate(data.examples()):
        if len(held) < rows:
            held.append(example.row_id)
        elif (place := draw.randint(0, number)) < rows:
            held[place] = example.row_id
    return export(data, out, format=format, only=set(held))
