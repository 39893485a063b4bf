"""The top stage of search: an encoder learns which document answers which query.

The loss is the multiple negatives ranking loss (Henderson and others, "Efficient Natural Language
Response Suggestion for Smart Reply", 2017; InfoNCE): of all documents of a batch the query's own
is the right one. Beside them stand hard negatives, documents that BM25 takes for an answer and
that are none. The loss is taken for the first numbers of a vector too, so that it can be cut
(Kusupati and others, "Matryoshka Representation Learning", 2022).

Writes a `dense` version, and beside it ``encoder/``, the weights that an update goes on from.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from feilun.engines._index import best
from feilun.engines._search import Catalogue
from feilun.errors import InvalidData, UsageError
from feilun.messages import t
from feilun.modalities.checkpoints import quiet
from feilun.store.dataset import Dataset
from feilun.tasks.base import Processor, TaskBase
from feilun.training import precision
from feilun.training.body import describe
from feilun.training.descent import Descent, answers
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.retrieval import (
    DenseSettings,
    Pair,
    pairs_of,
    reads_queries,
    reciprocal_rank,
    searches,
    write_dense,
)
from feilun.types import OneOf, Progress, Range, Real, Whole

if TYPE_CHECKING:
    import torch

__all__ = ["Settings", "estimate", "needs_base", "needs_torch", "order", "supports", "train"]

order = 3
needs_base = True
needs_torch = True
least_rows = 100

ENCODER = "encoder"
_RATE = 1e-4  # for a width of 384
_SHARE = 0.17  # of the speed of bare matrix products
_POOL = 30  # documents that BM25 finds first, among which hard negatives are drawn
_JUDGES = 300  # validation queries that choose the epoch
_RIVALS = 2000  # documents that they are told from, at most


class Settings(DenseSettings):
    """``[training.contrastive]``."""

    epochs: int = Field(3, ge=1, le=100, description="passes over the pairs")
    batch_rows: int = Field(
        32, ge=2, description="pairs of a batch: each query is told from all of their documents"
    )
    learning_rate: float | None = Field(
        None, gt=0, lt=1, description="highest step size; by default by the size of the base"
    )
    hard_negatives: int = Field(
        1, ge=0, le=8, description="documents that BM25 finds wrongly, beside each pair"
    )
    temperature: float = Field(
        0.05, gt=0, le=1, description="by what similarities are divided: less is stricter"
    )
    matryoshka: tuple[int, ...] = Field(
        (128, 64), description="shorter vectors that are trained for; empty for none"
    )
    update_rate: float = Field(
        0.5, gt=0, le=1, description="step size of an update, as a share of learning_rate"
    )
    max_rows: int | None = Field(
        None, ge=2, description="pairs used at most, drawn by the seed; by default all"
    )

    @classmethod
    def space(cls, task: TaskBase) -> Mapping[str, Range]:
        """How long, in what steps, and how strictly vectors are told apart."""
        return {
            "learning_rate": Real(1e-5, 5e-4, log=True),
            "epochs": Whole(1, 6),
            "batch_rows": OneOf((16, 32, 64)),
            "temperature": Real(0.02, 0.2, log=True),
            "hard_negatives": Whole(0, 4),
        }


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Documents ranked for a text."""
    return searches(task)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """Three passes over a query, its document and its hard negatives in each epoch, and one over
    all documents."""
    body = describe(_weights(job))
    used = min(rows.train, settings.max_rows or rows.train)
    texts = 2 + settings.hard_negatives
    work = body.forward(rows.mean_cost) * used * texts * 3 * settings.epochs
    count = rows.train + rows.validation + rows.test
    work += body.forward(rows.mean_cost) * count
    batch = settings.batch_rows * texts * max(1, rows.max_cost)
    memory = body.bytes * 6 + body.activations(batch) + 1e9
    detail = {
        "rows": float(used),
        "epochs": float(settings.epochs),
        "parameters": float(body.parameters),
        "disk_bytes": 3.0 * body.bytes,
    }
    return Estimate(int(memory), 20.0 + work / (machine.flops * _SHARE), detail)


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Trains, keeps the weights of the epoch that is best on the validation queries (those that it
    began with among them), and writes the version. An update goes on from the live version's
    weights, on all pairs."""
    import torch

    source = _weights(job)
    if not isinstance(source, Path):
        raise UsageError("training.needs_folder", method=job.method, base=source)
    begin = perf_counter()
    torch.set_num_threads(job.threads or precision.cores())
    torch.manual_seed(job.seed)
    dataset, schema, task = reads_queries(job)
    pairs = _pairs(dataset, settings, job.seed)
    report(Progress("train", 0, len(pairs), "rows", note=t("training.note_opening")))
    processor = task.processor(source, schema.settings)
    module: Any = task.encoder(source).requires_grad_(requires_grad=True)
    _without_dropout(module)
    rate = settings.learning_rate or _RATE * min(2.0, 384 / max(1, describe(source).width))
    if job.previous is not None:
        rate *= settings.update_rate
    course = _Course(module, processor, settings, pairs, job.seed, rate, report)
    figures = course.run(pairs_of(dataset, "validation")[:_JUDGES])
    module.requires_grad_(requires_grad=False)
    encoder = job.out / ENCODER
    with quiet():
        module.model.save_pretrained(encoder)
    processor.save(encoder)
    figures |= write_dense(job, settings, module, processor, report)
    return TrainResult({"seconds": perf_counter() - begin, "rows": float(len(pairs)), **figures})


def _weights(job: TrainJob) -> Path | str | None:
    return job.base if job.previous is None else job.previous / ENCODER


def _pairs(dataset: Dataset, settings: Settings, seed: int) -> list[Pair]:
    """The pairs to learn from. Raises `InvalidData` for fewer than two."""
    pairs = pairs_of(dataset, "train")
    if len(pairs) < 2:
        raise InvalidData("training.no_pairs", pairs=len(pairs))
    if settings.max_rows is not None and len(pairs) > settings.max_rows:
        drawn = np.random.default_rng(seed).choice(len(pairs), settings.max_rows, replace=False)
        pairs = [pairs[place] for place in np.sort(drawn).tolist()]
    return pairs


class _Course:
    """One training of an encoder on pairs."""

    def __init__(
        self,
        module: Any,
        processor: Processor,
        settings: Settings,
        pairs: Sequence[Pair],
        seed: int,
        rate: float,
        report: Report,
    ) -> None:
        self._module = module
        self._processor = processor
        self._settings = settings
        self._pairs = pairs
        self._draw = np.random.default_rng(seed)
        self._rate = rate
        self._report = report
        self._half = precision.prefers_bf16()
        self._documents = list(dict.fromkeys(text for pair in pairs for text in pair.documents))
        self._hard = self._mined() if settings.hard_negatives else {}

    def run(self, judges: Sequence[Pair]) -> dict[str, float]:
        """Trains; leaves the best weights in the module. Returns figures."""
        settings, pairs = self._settings, self._pairs
        size = settings.batch_rows
        # A rest of one pair has nothing to be told from.
        batches = max(1, -(-(len(pairs) - 1) // size))
        steps = batches * settings.epochs
        descent = Descent(self._module, self._rate, steps)
        kept, score, epoch_of = self._state(), self._judged(judges), 0
        first, done, loss = score, 0, 0.0
        for epoch in range(1, settings.epochs + 1):
            self._module.train()
            order = self._draw.permutation(len(pairs))
            for part in np.array_split(order, batches):
                loss = descent.step(self._loss([pairs[place] for place in part.tolist()]))
                done += 1
                figures = {"loss": loss, "epoch": float(epoch)}
                self._report(Progress("train", done, steps, "steps", figures))
            found = self._judged(judges)
            if found >= score or not judges:
                kept, score, epoch_of = self._state(), found, epoch
        self._module.load_state_dict(kept)
        self._module.eval()
        return {
            "steps": float(done),
            "epochs": float(settings.epochs),
            "best_epoch": float(epoch_of),
            "loss": loss,
            **({"untuned_mrr": first, "validation_mrr": score} if judges else {}),
        }

    def _state(self) -> dict[str, Any]:
        return copy.deepcopy(self._module.state_dict())

    def _loss(self, pairs: Sequence[Pair]) -> torch.Tensor:
        """The mean loss of the queries, over the full vectors and the shorter ones."""
        import torch

        settings = self._settings
        right = [pair.documents[int(self._draw.integers(len(pair.documents)))] for pair in pairs]
        documents = list(right)
        for pair in pairs:
            pool = self._hard.get(pair.query, ())
            count = min(settings.hard_negatives, len(pool))
            documents += (
                self._draw.choice(list(pool), count, replace=False).tolist() if pool else []
            )
        queries = self._vectors([settings.query_prefix + pair.query for pair in pairs])
        texts = self._vectors([settings.document_prefix + text for text in documents])
        # Another right answer, or the same document once more, is no wrong one.
        other = [
            [text in pair.documents and place != row for place, text in enumerate(documents)]
            for row, pair in enumerate(pairs)
        ]
        blocked = torch.tensor(other)
        wanted = torch.arange(len(pairs))
        sizes = [n for n in settings.matryoshka if n < queries.shape[1]]
        losses = []
        for count in (queries.shape[1], *sizes):
            one, two = (
                torch.nn.functional.normalize(each[:, :count], dim=1) for each in (queries, texts)
            )
            scores = (one @ two.T / settings.temperature).masked_fill(blocked, -1e4)
            losses.append(torch.nn.functional.cross_entropy(scores, wanted))
        return torch.stack(losses).mean()

    def _vectors(self, texts: Sequence[str]) -> torch.Tensor:
        return answers(self._module, self._processor, self._processor.encode(texts), self._half)

    def _judged(self, pairs: Sequence[Pair]) -> float:
        """The mean reciprocal rank of the validation queries' documents, among them and documents
        of training."""
        import torch

        if not pairs:
            return 0.0
        settings = self._settings
        own = dict.fromkeys(text for pair in pairs for text in pair.documents)
        documents = list(dict.fromkeys([*own, *self._documents[:_RIVALS]]))
        place = {text: number for number, text in enumerate(documents)}
        self._module.eval()
        with torch.inference_mode():

            def embed(texts: Sequence[str], prefix: str) -> np.ndarray:
                parts = [
                    self._vectors([prefix + text for text in texts[start : start + 64]])
                    for start in range(0, len(texts), 64)
                ]
                return torch.nn.functional.normalize(torch.cat(parts), dim=1).numpy()

            queries = embed([pair.query for pair in pairs], settings.query_prefix)
            scores = queries @ embed(documents, settings.document_prefix).T
        ranks = [
            reciprocal_rank(row, [place[text] for text in pair.documents])
            for row, pair in zip(scores, pairs, strict=True)
        ]
        return float(np.mean(ranks))

    def _mined(self) -> dict[str, tuple[str, ...]]:
        """For each query documents that BM25 takes for an answer and that are none."""
        catalogue = Catalogue.of(self._documents)
        found = {}
        for pair in self._pairs:
            places = best(catalogue.lexical(pair.query), _POOL).tolist()
            texts = (self._documents[place] for place in places)
            found[pair.query] = tuple(text for text in texts if text not in pair.documents)
        return found


def _without_dropout(module: Any) -> None:
    import torch

    for one in module.modules():
        if isinstance(one, torch.nn.Dropout):
            one.p = 0.0
