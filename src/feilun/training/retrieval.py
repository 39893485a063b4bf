"""What methods for search share: the pairs of a data version, and a `dense` version made of an
encoder. See `feilun.engines.dense` for what stands in such a version."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import Field

from feilun.engines import _vectors
from feilun.engines._search import Catalogue
from feilun.engines.array import ArrayEngine
from feilun.engines.card import write_card
from feilun.engines.dense import VECTORS, EncoderRequests, combined, unit
from feilun.engines.openvino import MODEL, compiled_model, openvino
from feilun.errors import EnvironmentProblem
from feilun.families.ranking import items_of
from feilun.messages import t
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.tasks._questions import questions
from feilun.tasks.base import Arrays, Processor, TaskBase
from feilun.training.job import Report, TrainJob
from feilun.training.rows import schema_of, start_card
from feilun.training.settings import MethodSettings
from feilun.types import Progress, Schema, Split

if TYPE_CHECKING:
    import torch

__all__ = [
    "Asked",
    "DenseSettings",
    "Pair",
    "Searched",
    "catalogue_of",
    "convert_encoder",
    "converted",
    "pairs_of",
    "reads_queries",
    "reciprocal_rank",
    "searches",
    "write_dense",
    "write_encoder",
]

_PART = 2048  # documents between two signs of life
_JUDGES = 500  # questions that choose the share of BM25 at most
_SHARES = np.linspace(0, 1, 11)


class DenseSettings(MethodSettings):
    """What the methods on an encoder have in common."""

    query_prefix: str = Field(
        "", description='what the base wants before a query, such as "query: " of the E5 models'
    )
    document_prefix: str = Field(
        "", description='what the base wants before a document, such as "passage: "'
    )
    dimensions: int | None = Field(
        None,
        ge=8,
        description="numbers of each vector that the index keeps; by default all. Fewer take less "
        "memory; a contrastive version is trained for it by `matryoshka`",
    )
    lexical: float | None = Field(
        None,
        ge=0,
        le=1,
        description="share of BM25 in a document's score; by default what is best on the "
        "validation rows",
    )


@dataclass(frozen=True, slots=True)
class Pair:
    """A query and the documents that answer it."""

    query: str
    documents: tuple[str, ...]


class Asked(NamedTuple):
    """A query and the places of the documents that answer it."""

    query: str
    places: Sequence[int]


class Searched(NamedTuple):
    """What a version of an encoder searches: the `format` that it is of, the texts whose vectors it
    keeps, their scores by terms, the questions that choose the share of those, and the `usual`
    share where there are none."""

    format: str
    documents: Sequence[str]
    lexical: Callable[[str], np.ndarray]
    asked: Sequence[Asked]
    usual: float = 0.0


def searches(task: TaskBase) -> str | None:
    """None for a task that ranks documents for a text; else why search cannot learn `task`."""
    if task.family.name == "ranking" and task.modality == "text":
        return None
    return t("training.reason_no_search", task=task.name)


def catalogue_of(dataset: Dataset) -> list[str]:
    """All documents of a data version, in the order of its rows: what is searched. Documents of
    validation and test rows are among them, because they could not be found otherwise; which query
    they answer is not learnt."""
    labels = (one for one in dataset.values("label") if one)
    return list(dict.fromkeys(text for one in labels for text in items_of(one)))


def pairs_of(dataset: Dataset, split: Split) -> list[Pair]:
    """The queries of `split` with their documents; documents without a query are none."""
    judged = questions(dataset)
    found = zip(judged.items(split), judged.values("label", split), strict=True)
    pairs = [Pair(str(item), items_of(label)) for item, label in found if label]
    return [pair for pair in pairs if pair.documents]


def reads_queries(job: TrainJob) -> tuple[Dataset, Schema, TaskBase]:
    """The data, what the version answers, and its task."""
    dataset = Dataset(job.data)
    schema = schema_of(job, dataset)
    return dataset, schema, tasks.of(schema)


def write_dense(
    job: TrainJob,
    settings: DenseSettings,
    module: torch.nn.Module,
    processor: Processor,
    report: Report,
) -> dict[str, float]:
    """Writes a `dense` version into ``job.out``: `module`, an encoder as `TaskBase.encoder` gives
    it, and the catalogue in its vectors. Returns figures."""
    dataset, _, _ = reads_queries(job)
    catalogue = Catalogue.of(catalogue_of(dataset))
    catalogue.write(job.out)
    place = {text: number for number, text in enumerate(catalogue.documents)}
    asked = [
        Asked(pair.query, [place[text] for text in pair.documents if text in place])
        for pair in pairs_of(dataset, "validation")[:_JUDGES]
    ]
    searched = Searched("dense", catalogue.documents, catalogue.lexical, asked)
    return write_encoder(job, settings, module, processor, searched, report)


def write_encoder(
    job: TrainJob,
    settings: DenseSettings,
    module: torch.nn.Module,
    processor: Processor,
    searched: Searched,
    report: Report,
) -> dict[str, float]:
    """Writes `module`, the vectors of what is `searched`, and the card, into ``job.out``. The share
    of BM25 is chosen on the questions that `searched` asks. Returns figures."""
    _, schema, task = reads_queries(job)
    processor.save(job.out)
    width = convert_encoder(module, processor, task, job.out)
    extra = {
        "query": settings.query_prefix,
        "document": settings.document_prefix,
        "width": width,
        "lexical": searched.usual if settings.lexical is None else settings.lexical,
    }
    card = replace(start_card(job, searched.format, schema, settings.model_dump()), extra=extra)
    write_card(job.out, card)
    compiled, streams, _ = compiled_model(job.out, card, None, job.threads)
    encoder = ArrayEngine(job.out, card, EncoderRequests(compiled), streams, {}, width=width)
    asked = searched.asked[:_JUDGES]
    try:
        embed = _embedder(encoder, settings, report, len(searched.documents))
        vectors = embed(searched.documents, settings.document_prefix).astype(np.float16)
        _save(job.out, vectors)
        figures = {"documents": float(len(searched.documents))}
        if settings.lexical is None and asked:
            queries = embed([one.query for one in asked], settings.query_prefix)
            share = _best_share(searched, vectors, queries, asked)
            write_card(job.out, replace(card, extra={**extra, "lexical": share}))
            figures["lexical"] = share
    finally:
        encoder.close()
    return figures


def reciprocal_rank(scores: np.ndarray, right: Sequence[int]) -> float:
    """One over the place of the first of the `right` documents when all are ordered by `scores`;
    what has the same score as it stands before it."""
    if not right:
        return 0.0
    highest = scores[right].max()
    same = int((scores[right] == highest).sum())
    return 1 / (1 + int((scores >= highest).sum()) - same)


def _embedder(
    encoder: ArrayEngine, settings: DenseSettings, report: Report, total: int
) -> Callable[[Sequence[str], str], np.ndarray]:
    def embed(texts: Sequence[str], prefix: str) -> np.ndarray:
        parts = []
        for start in range(0, len(texts), _PART):
            note = t("training.note_embedding")
            report(Progress("train", min(start, total), total, "rows", note=note))
            raw = encoder.raw([prefix + text for text in texts[start : start + _PART]])
            parts.append(unit(raw, settings.dimensions))
        return np.concatenate(parts)

    return embed


def _best_share(
    searched: Searched, vectors: np.ndarray, queries: np.ndarray, asked: Sequence[Asked]
) -> float:
    """The share of BM25 with the highest mean reciprocal rank of a query's first right document;
    among equal ones the smallest."""
    total = np.zeros(len(_SHARES))
    for query, one in zip(queries, asked, strict=True):
        cosine, lexical = vectors.astype(np.float32) @ query, searched.lexical(one.query)
        for number, share in enumerate(_SHARES.tolist()):
            total[number] += reciprocal_rank(combined(cosine, lexical, share), one.places)
    return round(float(_SHARES[int(np.argmax(total))]), 2)


def convert_encoder(
    module: torch.nn.Module, processor: Processor, task: TaskBase, out: Path
) -> int:
    """Writes the encoder as OpenVINO's; the width of its vectors. Raises `EnvironmentProblem` when
    it cannot be converted, or answers otherwise than torch afterwards."""
    arrays = processor.collate(processor.encode(task.example_items()))
    width = 0

    def measured(raw: np.ndarray) -> np.ndarray:
        nonlocal width
        width = int(raw.shape[1])
        return unit(raw)

    worst = converted(module, arrays, out, measured)
    if not worst <= 0.01:
        raise EnvironmentProblem("training.cannot_convert", reason=f"vectors differ by {worst:.3g}")
    return width


def converted(
    module: torch.nn.Module,
    arrays: Arrays,
    out: Path,
    seen: Callable[[np.ndarray], np.ndarray],
) -> float:
    """Writes `module` as OpenVINO's, traced with `arrays`; how far its outputs, as `seen` makes
    them, are from torch's at most. Raises `EnvironmentProblem` when it cannot be converted."""
    import torch

    ov = openvino()
    example = {name: torch.from_numpy(array) for name, array in arrays.items()}
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # Tracing warns of every branch on a shape; a wrong one shows in the check below.
            warnings.simplefilter("ignore")
            model = ov.convert_model(module, example_input=example)
            wanted = module(**example).numpy()
    except Exception as error:  # a model that cannot be converted fails in many ways
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise EnvironmentProblem("training.cannot_convert", reason=reason[0]) from error
    model.set_friendly_name("model")
    for place, node in enumerate(model.get_ordered_ops()):
        node.set_friendly_name(f"{node.get_type_name()}_{place}")
    ov.save_model(model, out / MODEL, compress_to_fp16=True)
    compiled = ov.Core().compile_model(out / MODEL, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    names = {name for port in compiled.inputs for name in port.names}
    got = compiled({name: array for name, array in arrays.items() if name in names})[0]
    return float(np.abs(seen(got) - seen(wanted)).max())


def _save(folder: Path, vectors: np.ndarray) -> None:
    from safetensors.numpy import save_file

    tensors: dict[str, Any] = {"vectors": np.ascontiguousarray(vectors)}
    if len(vectors) > _vectors.EXACT:
        tensors["codes"], tensors["units"] = _vectors.rounded(vectors)
    save_file(tensors, folder / VECTORS)
