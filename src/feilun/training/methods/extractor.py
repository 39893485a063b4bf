"""Fields of texts, each read by itself, in seconds to minutes and without a base model: pieces of
the text by a conditional random field a field, one of few values by logistic regression on n-grams.

Where an answer is a JSON object but nobody has marked where its values stand, they are looked for
in the text: word for word, as numbers and as dates that are written otherwise. Of a value that
stands in several places the one counts whose neighbours are most like those of values that stand
in one place alone.

In a conversation the answers are texts. Those that are JSON objects teach, each kind of object
(shape) its own fields; the others teach which questions have another kind of answer.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from feilun.engines._extract import BITS, CRF, FILE, Asked, FieldModel, Form, Shape
from feilun.engines.card import write_card
from feilun.engines.crf import crfsuite
from feilun.engines.extractor import asked_of
from feilun.engines.linear import WEIGHTS, pick, weigh
from feilun.errors import InvalidData
from feilun.families._record_cells import Flat, flat
from feilun.families.instructed import Instructed
from feilun.messages import t
from feilun.metrics.json_texts import as_object
from feilun.modalities.text import ngrams, sequence
from feilun.modalities.text.values import READINGS, places
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
from feilun.training import logistic
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.methods.linear import kept_columns, occurrences
from feilun.training.rows import drawn, read, schema_of, start_card
from feilun.training.settings import MethodSettings
from feilun.types import Progress, Range, Real

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Settings", "estimate", "needs_base", "needs_torch", "order", "supports", "taught",
           "train"]  # fmt: skip

order = 1
needs_base = False
needs_torch = False
least_rows = 20

_COLUMNS = 30_000  # n-grams kept at most
_SPAN_SHARE = 0.8  # of a field's values that have to stand in the text
_LISTED = 20  # different values, above which what stands in its texts is read there
_PER_VALUE = 5  # rows that each of few values has on average at least
_VALUES = 60
_ALIKE = 0.5  # of all names, that two objects of one shape share
_LEAST_SHAPE = 10  # rows without which a kind of object is not learnt
_NEAR = 0.01  # share of the training rows that may be further from the middle
_FORMS = tuple(
    Form(indent, separators, ascii, fenced)
    for fenced in (False, True)
    for ascii in (False, True)
    for indent, separators in (
        (None, (", ", ": ")),
        (None, (",", ":")),
        (2, (",", ": ")),
        (4, (",", ": ")),
    )
)


class Settings(MethodSettings):
    """``[training.extractor]``."""

    iterations: int = Field(60, ge=1, le=1000, description="iterations of each field at most")
    c1: float = Field(0.1, ge=0, description="L1 regularisation: more leaves fewer features")
    c2: float = Field(0.05, ge=0, description="L2 regularisation")
    max_rows: int = Field(5000, ge=100, description="training rows used at most, drawn by the seed")

    @classmethod
    def space(cls, task: TaskBase) -> Mapping[str, Range]:
        """How many features are left, and how much they may weigh."""
        return {"c1": Real(0.01, 1.0, log=True), "c2": Real(0.005, 1.0, log=True)}


@dataclass(frozen=True, slots=True)
class _Row:
    """A text with the object that answers it: its fields, and all `names` that stand in it, each
    with what it says where it says nothing."""

    asked: Asked
    fields: Flat
    names: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Group:
    """The rows of one shape, and their places among all."""

    rows: Sequence[_Row]
    places: np.ndarray
    form: Form


@dataclass(slots=True)
class _Head:
    """The classes of one field (or the shapes): `labels` of the rows at `places`."""

    labels: np.ndarray
    places: np.ndarray
    count: int
    begin: int


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Texts whose answers are, or may be, JSON objects."""
    if task.modality == "text" and type(task.family).record is not Instructed.record:
        return None
    return t("training.reason_no_records", task=task.name)


def taught(rows: DataStats) -> int:
    """Those with a JSON object."""
    return rows.records


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """From the number of tokens and fields: each field is a conditional random field of its own."""
    used = min(rows.records, settings.max_rows)
    fields = max(1, len(rows.labels) if rows.labels and rows.records == rows.train else 6)
    fields = min(fields, 12)
    tokens = used * (rows.mean_cost or 60.0)
    seconds = 2.0 + fields * tokens * (2e-5 + min(settings.iterations, 40) * 6e-6)
    return Estimate(int(200e6 + tokens * 1500), seconds, {"rows": used, "tokens": tokens})


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes an `extractor` version. An update learns from all rows anew."""
    begin = perf_counter()
    dataset = Dataset(job.data)
    schema = schema_of(job, dataset)
    family = tasks.of(schema).family
    labelled = read(dataset, "train")
    known = dict(zip(dataset.row_ids("train"), dataset.values("label", "train"), strict=True))
    rows, notes = drawn(labelled, settings.max_rows, job.seed)
    said = [known[one] for one in rows.ids or ()]
    asked = [asked_of(item, family.converses) for item in rows.items]
    found = [_row(one, family.record(target)) for one, target in zip(asked, said, strict=True)]
    groups = _grouped(found, said if family.streams else None, schema.labels)
    if not groups:
        raise InvalidData("training.no_records")
    heads, shapes = [_shape_head(groups, len(asked))], []
    work = sum(len({name for row in group.rows for name in row.names}) for group in groups)
    done = 0

    def told(path: str) -> None:
        nonlocal done
        done += 1
        report(Progress("train", min(done, work), work, "fields", note=path))

    (job.out / CRF).mkdir()
    numbers = 0
    for group in groups:
        fields = []
        for path in _ordered(group.rows):
            told(path)
            one, labels = _fielded(path, group, heads)
            if one.kind == "span":
                one = replace(one, number=numbers)
                numbers += 1
                _teach(job.out / CRF / f"{one.number}.crfsuite", one, labels, settings)
            fields.append(one)
            notes.append(t("training.note_fields", field=path, how=_how(one, group)))
        digests = {row.asked.told for row in group.rows} - {""}
        shapes.append(Shape(tuple(fields), group.form, tuple(sorted(digests))))
    _weighed(job, asked, heads, groups)
    plain = {"shapes": [one.to_json() for one in shapes], "others": heads[0].count > len(groups)}
    (job.out / FILE).write_text(json.dumps(plain, ensure_ascii=False, indent=1) + "\n", "utf-8")
    write_card(job.out, start_card(job, "extractor", schema, settings.model_dump()))
    figures = {
        "seconds": perf_counter() - begin,
        "rows": float(sum(len(group.rows) for group in groups)),
        "fields": float(sum(len(one.fields) for one in shapes)),
        "shapes": float(len(shapes)),
    }
    return TrainResult(figures, tuple(notes))


# Which rows answer alike.


def _row(asked: Asked, record: Mapping[str, Any] | None) -> _Row | None:
    if record is None:
        return None
    try:
        fields = flat(record)
    except InvalidData:  # such as a list of objects, which nobody here reads
        return None
    return _Row(asked, fields, _names(record))


def _names(record: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """All paths in their order, each with its value where that says nothing, else None."""
    found: dict[str, Any] = {}
    for name, value in record.items():
        path = f"{before}{name}"
        if isinstance(value, Mapping) and value:
            found |= _names(value, f"{path}.")
        else:
            found[path] = value if value in ("", [], {}) else None
    return found


def _grouped(
    rows: Sequence[_Row | None], said: Sequence[str | None] | None, labels: tuple[str, ...]
) -> list[_Group]:
    """The shapes with enough rows, the most frequent first. Where answers are no texts (`said` is
    None) there is one, of all fields that the schema knows."""
    known = [(place, row) for place, row in enumerate(rows) if row is not None]
    if said is None:
        places = np.array([place for place, _ in known], int)
        every = dict.fromkeys(labels)
        return [_Group([replace(row, names=every) for _, row in known], places, Form())] * bool(
            known and labels
        )
    kinds: list[tuple[frozenset[str], list[int]]] = []
    counts = Counter(frozenset(row.names) for _, row in known)
    homes: dict[frozenset[str], int] = {}
    for names, _ in counts.most_common():
        near = [len(names & one) / max(1, len(names | one)) for one, _ in kinds]
        if near and max(near) >= _ALIKE:
            homes[names] = int(np.argmax(near))
        else:
            homes[names] = len(kinds)
            kinds.append((names, []))
    for place, row in known:
        kinds[homes[frozenset(row.names)]][1].append(place)
    found = []
    for _, held in kinds:
        members = [one for place in held if (one := rows[place]) is not None]
        if len(members) >= _LEAST_SHAPE and any(one.fields for one in members):
            texts = [str(said[place]) for place in held]
            found.append(_Group(members, np.array(held), _form(texts)))
    return found


def _form(texts: Sequence[str]) -> Form:
    """The layout that most answers have."""
    sample = texts[:50]
    fits = [
        sum(one.write(as_object(text) or {}) == text.strip() for text in sample) for one in _FORMS
    ]
    if not any(fits):
        return Form(
            fenced=2 * sum(text.lstrip().startswith("```") for text in sample) > len(sample)
        )
    return _FORMS[int(np.argmax(fits))]


def _ordered(rows: Sequence[_Row]) -> list[str]:
    """All paths, in the order of the row that has most of them."""
    longest = max(rows, key=lambda row: len(row.names)).names
    others = dict.fromkeys(path for row in rows for path in row.names)
    return [*longest, *(path for path in others if path not in longest)]


# How a field is read.


def _fielded(
    path: str, group: _Group, heads: list[_Head]
) -> tuple[FieldModel, list[tuple[str, sequence.Tokens, list[tuple[int, int]]]]]:
    """How a field is read; for one that stands in the texts these, with where it stands in each."""
    rows = group.rows
    values = [row.fields.get(path) for row in rows]
    said = [one for one in values if one is not None]
    texts = {json.dumps(one, ensure_ascii=False): one for one in values}
    blank = Counter(json.dumps(row.names[path]) for row in rows if path in row.names
                    and path not in row.fields).most_common(1)  # fmt: skip
    missing = sum(path not in row.names for row in rows)
    empty = json.loads(blank[0][0]) if blank else None
    model = FieldModel(path, "unread", empty=empty,
                       optional=missing > (blank[0][1] if blank else 0))  # fmt: skip
    if len(texts) == 1:
        return replace(model, kind="constant", values=tuple(texts.values())), []
    few = len(texts) <= min(_VALUES, len(rows) / _PER_VALUE)
    numeric = all(isinstance(one, int | float) and not isinstance(one, bool) for one in said)
    plain = not any(isinstance(one, bool) for one in said)
    found = _standing(rows, path) if plain else None
    if found is not None and (numeric or not few or len(texts) > _LISTED):
        reading, several, where = found
        return replace(model, kind="span", reading=reading, several=several), where
    if few and not any(isinstance(one, list) for one in said):
        order = list(texts)
        labels = np.array([order.index(json.dumps(one, ensure_ascii=False)) for one in values])
        first = sum(head.count for head in heads)
        heads.append(_Head(labels, group.places, len(order), first))
        return replace(model, kind="class", begin=first, values=tuple(texts.values())), []
    return model, []


def _standing(rows: Sequence[_Row], path: str) -> Any:
    """By which reading, and where in each text, the values of a field stand; None where too few
    do. Rows whose value stands nowhere teach nothing."""
    said = [(row, row.fields[path]) for row in rows if path in row.fields]
    several = any(isinstance(value, list) for _, value in said)
    if several and not all(isinstance(value, list) for _, value in said):
        return None
    tokens = {id(row): sequence.tokens(row.asked.text) for row in rows}
    best: tuple[int, Any] = (0, None)
    for reading in READINGS:
        where: dict[int, list[list[tuple[int, int]]]] = {}
        for row, value in said:
            parts = value if several else [value]
            found = [places(row.asked.text, one, reading, tokens[id(row)]) for one in parts]
            if all(found):
                where[id(row)] = found
        if len(where) > best[0]:
            best = len(where), (reading, where)
    if best[0] < max(2, _SPAN_SHARE * len(said)):
        return None
    reading, where = best[1]
    chosen = _chosen([row.asked.text for row in rows if id(row) in where],
                     [where[id(row)] for row in rows if id(row) in where])  # fmt: skip
    marked = dict(zip([id(row) for row in rows if id(row) in where], chosen, strict=True))
    lessons = [
        (row.asked.text, tokens[id(row)], marked.get(id(row), []))
        for row in rows
        if id(row) in where or path not in row.fields
    ]
    return reading, several, lessons


def _chosen(
    texts: Sequence[str], where: Sequence[list[list[tuple[int, int]]]]
) -> list[list[tuple[int, int]]]:
    """Of each value the one place that counts: the first of those with the most usual neighbours,
    as the values that stand in one place alone have them."""
    usual: Counter[str] = Counter()
    for text, values in zip(texts, where, strict=True):
        for known in values:
            if len(known) == 1:
                usual.update(_beside(text, known[0]))
    found = []
    for text, values in zip(texts, where, strict=True):
        taken: list[tuple[int, int]] = []
        for known in values:
            free = [one for one in known if all(one[1] <= a or b <= one[0] for a, b in taken)]
            if free:
                taken.append(max(free, key=lambda one: sum(usual[s] for s in _beside(text, one))))
        found.append(sorted(taken))
    return found


def _beside(text: str, place: tuple[int, int]) -> tuple[str, ...]:
    """The words beside a piece of text: two before it and one after it."""
    before = sequence.tokens(text[max(0, place[0] - 40) : place[0]])[-2:]
    after = sequence.tokens(text[place[1] : place[1] + 40])[:1]
    left = [text[max(0, place[0] - 40) : place[0]][a:b].casefold() for a, b in before]
    right = [text[place[1] : place[1] + 40][a:b].casefold() for a, b in after]
    return (f"-{left[-1:]}", f"--{left}", f"+{right}")


def _how(one: FieldModel, group: _Group) -> str:
    if one.kind == "span":
        kind = {"text": "span", "point": "number", "comma": "number"}.get(one.reading, "date")
        return t(f"training.field_{kind}")
    if one.kind != "unread":
        return t(f"training.field_{one.kind}", count=len(one.values))
    values = [row.fields[one.path] for row in group.rows if one.path in row.fields]
    stands = sum(
        any(places(row.asked.text, row.fields[one.path], reading, sequence.tokens(row.asked.text))
            for reading in READINGS)
        for row in group.rows
        if one.path in row.fields and not isinstance(row.fields[one.path], list)
    )  # fmt: skip
    share = 100 * stands / max(1, len(values))
    count = len({json.dumps(value) for value in values})
    return t("training.field_unread", share=f"{share:.0f}", count=count)


# What is learnt.


def _teach(
    file: Path,
    one: FieldModel,
    lessons: Sequence[tuple[str, sequence.Tokens, list[tuple[int, int]]]],
    settings: Settings,
) -> None:
    trainer = crfsuite().Trainer(algorithm="lbfgs", verbose=False)
    for text, tokens, spans in lessons:
        if tokens:
            marked = [(start, end, "V") for start, end in spans]
            trainer.append(sequence.features(text, tokens), sequence.tags_of(tokens, marked))
    trainer.set_params(
        {
            "c1": settings.c1,
            "c2": settings.c2,
            "max_iterations": settings.iterations,
            "period": 10,
            "delta": 0.002,
            "feature.possible_transitions": True,
        }
    )
    trainer.train(str(file))


def _shape_head(groups: Sequence[_Group], rows: int) -> _Head:
    """Which shape each row has; the last class is any other answer, where there are such."""
    labels = np.full(rows, len(groups))
    for number, group in enumerate(groups):
        labels[group.places] = number
    count = len(groups) + int((labels == len(groups)).any())
    return _Head(labels, np.arange(rows), count, 0)


def _weighed(
    job: TrainJob, asked: Sequence[Asked], heads: Sequence[_Head], groups: Sequence[_Group]
) -> None:
    """Fits all heads on the same n-grams, and writes them side by side."""
    from safetensors.numpy import save_file

    matrix = ngrams.NGrams(BITS).transform([one.whole for one in asked])
    occurs = occurrences(matrix)
    columns = kept_columns(occurs, min(2, len(asked)), _COLUMNS, len(asked))
    idf = (np.log((1 + len(asked)) / (1 + occurs[columns])) + 1).astype(np.float32)
    rows: Any = weigh(pick(matrix, columns), idf)
    parts, intercepts = [], []
    for head in heads:
        coef, intercept = _fit(rows[head.places], head, job.seed)
        parts.append(coef)
        intercepts.append(intercept)
    own: Any = weigh(pick(ngrams.NGrams(BITS).transform([one.text for one in asked]), columns), idf)
    middle = np.stack([np.asarray(own[one.places].mean(axis=0)).ravel() for one in groups])
    near = [
        np.quantile(np.asarray(own[one.places] @ middle[place]), _NEAR)
        for place, one in enumerate(groups)
    ]
    save_file(
        {
            "columns": columns,
            "idf": idf,
            "coef": np.concatenate(parts).astype(np.float32),
            "intercept": np.concatenate(intercepts).astype(np.float32),
            "middle": middle.astype(np.float32),
            "near": np.array(near, np.float32),
        },
        job.out / WEIGHTS,
    )


def _fit(rows: csr_matrix, head: _Head, seed: int) -> tuple[np.ndarray, np.ndarray]:
    if len(np.unique(head.labels)) < 2:
        return np.zeros((head.count, rows.shape[1]), np.float32), np.zeros(head.count, np.float32)
    found = logistic.fit(rows, head.labels, head.count, (rows[:0], head.labels[:0]), seed=seed)
    return found.coef, found.intercept
