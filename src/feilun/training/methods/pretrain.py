"""Pre-training: a transformer learns documents, from nothing or on from the weights of a base.

What it learns is the task's objective: each next token (causal), hidden words (masked), hidden runs
of words (spans). An update goes on from the weights of the live version, with the new documents and
as many old ones.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from feilun.errors import InvalidData
from feilun.families.tokens import TokenCrossEntropy
from feilun.messages import t
from feilun.modalities.language import architectures
from feilun.modalities.language.causal import token_sizes
from feilun.modalities.language.models import read_marks, ready
from feilun.modalities.text.documents import Objective
from feilun.store.dataset import INPUT, ROWS, Dataset
from feilun.tasks.base import TaskBase
from feilun.training import checkpoints, finetune
from feilun.training import tokenizer as own_tokenizer
from feilun.training.batches import Examples, Order
from feilun.training.batches import order as order_batches
from feilun.training.body import Body, describe, fresh
from feilun.training.corpus import documents
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.packing import Blocks, Pieces, Tokens, tokenise
from feilun.training.rows import schema_of
from feilun.training.settings import MethodSettings
from feilun.types import Progress

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = [
    "Settings",
    "estimate",
    "needs_base",
    "needs_torch",
    "order",
    "settle",
    "supports",
    "train",
]

order = 2
needs_base = True
needs_torch = True
least_rows = 200
needs_folder = False

_PER_TOKEN = 3.5  # bytes of a token, before there is a tokenizer
_JUDGEMENTS = 10
_HELD = (2_000, 200_000)  # tokens of validation documents that are judged while it learns
_JUDGED = 50  # tokens learnt for each of them, so that ten judgements take a fifteenth of the time
_SHARE = 0.25  # of the speed of bare matrix products that training reaches
_STEP = 0.02  # seconds of a step whatever its size
_STEPS = 400
_SAMPLE = 40


class Settings(MethodSettings):
    """``[training.pretrain]``."""

    size: Literal["auto"] | architectures.Size = Field(
        "auto",
        description="of a network that begins from nothing: auto is the largest that the corpus and"
        " the budget are right for (Hoffmann et al., 2022)",
    )
    budget: float = Field(
        1e15,
        gt=0,
        description="floating-point operations that a training may take: hours of two cores",
    )
    tokens: int | None = Field(
        None,
        ge=1,
        description="tokens to learn; by default 4 times the corpus, within the budget",
    )
    tokenizer: str = Field(
        "",
        description="folder of a tokenizer (feilun tokenizer train); by default one is trained, or"
        " the base's is used",
    )
    vocabulary: int | None = Field(
        None,
        ge=own_tokenizer.LEAST,
        description="tokens of a tokenizer that is trained; by default by"
        " the size of the corpus, 16,000 at most",
    )
    context: int = Field(
        256, ge=16, le=8192, description="tokens that are read at once, in training and after"
    )
    learning_rate: float | None = Field(
        None, gt=0, lt=1, description="highest step size; by default by the width of the network"
    )
    batch_rows: int = Field(4096, ge=1, description="blocks of a batch at most")
    batch_tokens: int | None = Field(
        None, ge=1, description="tokens of a batch; by default 8,192, fewer of a small corpus"
    )
    accumulation: int = Field(
        1, ge=1, description="batches whose gradients are added up before each step"
    )
    warmup: float = Field(
        0.05, ge=0, lt=1, description="share of the steps in which the step size rises"
    )
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = Field(
        "cosine", description="how the step size falls afterwards"
    )
    weight_decay: float = Field(0.1, ge=0, description="AdamW's weight decay")
    dropout: float | None = Field(
        0.0, ge=0, lt=1, description="share of activations dropped; none keeps the base's own"
    )
    patience: int = Field(
        3, ge=1, description="judgements without a better score after which training stops"
    )
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto",
        description="auto is bf16 where this processor computes faster in it, but for convolutions",
    )
    update_rate: float = Field(
        0.5, gt=0, le=1, description="step size of an update, as a share of learning_rate"
    )
    checkpoint_seconds: float = Field(
        30.0, gt=0, description="seconds between checkpoints, from which a killed run goes on"
    )
    checkpoint_steps: int | None = Field(
        None, ge=1, description="steps between checkpoints, instead of seconds"
    )


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Documents, and a base that has learnt the task's objective."""
    if task.family.name != "likelihood":
        return t("training.reason_no_corpus", task=task.name)
    return task.unfit(base) if isinstance(base, Path) else None


def settle(job: TrainJob, settings: Settings) -> Settings:
    """`settings` with nothing left open: size, tokens, vocabulary, batch and step size."""
    objective = _objective(job)
    corpus = _corpus_bytes(job) / _PER_TOKEN
    source = job.previous or job.base
    vocabulary = settings.vocabulary or int(min(16_000, max(600, corpus // 100)))
    if isinstance(source, Path):
        body = describe(source)
        passing, width = body.active, body.width
    else:
        settings = settings.model_copy(
            update={"size": _size(settings, objective, vocabulary, corpus)}
        )
        passing = architectures.parameters(objective, _named(settings), vocabulary)
        width = architectures.SIZES[_named(settings)][1]
    tokens = settings.tokens or architectures.tokens_for(passing, corpus, settings.budget)
    if job.previous is not None and settings.tokens is None:
        fresh = len(job.new_rows) / max(1, Dataset(job.data).size("train"))
        tokens = max(settings.context, int(tokens * min(1.0, fresh * (1 + job.replay))))
    rate = 2e-4 if isinstance(source, Path) else 1e-3
    return settings.model_copy(
        update={
            "vocabulary": vocabulary,
            "tokens": tokens,
            "batch_tokens": settings.batch_tokens or int(min(8192, max(1024, tokens // _STEPS))),
            "learning_rate": settings.learning_rate or rate * min(3.0, 512 / width),
        }
    )


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """From the operations of all tokens, 6 N D."""
    settings = settle(job, settings)
    body = _body(job, settings)
    tokens = float(settings.tokens or 0)
    work = architectures.flops(body.active, tokens)
    batch = float(settings.batch_tokens or 0)
    steps = tokens / max(1.0, batch)
    seconds = 20.0 + work / (machine.flops * _SHARE)
    seconds += steps * (_STEP + body.bytes * 7 / 8e9) + _corpus_bytes(job) / 2e6
    memory = body.bytes * 5 + body.activations(batch) + 900e6
    detail = {
        "tokens": tokens,
        "flops": work,
        "parameters": float(body.parameters),
        "disk_bytes": 9.0 * body.bytes + _corpus_bytes(job),
    }
    return Estimate(int(memory), seconds, detail)


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Tokenises the corpus once, trains, and writes a plain transformers folder of format
    ``language-model``. Raises `InvalidData` where there is nothing to learn."""
    from transformers import set_seed

    start = perf_counter()
    settings = settle(job, settings)
    objective, source = _objective(job), job.previous or job.base
    dataset = Dataset(job.data)
    schema = schema_of(job, dataset)
    checkpoints.claim(job)
    report(Progress("train", 0, 0, note=t("training.note_opening")))
    set_seed(job.seed)
    text_tokens = _tokenizer(job, settings, dataset, report)
    model, text_tokens = ready(source, objective, text_tokens, _fresh(objective, settings))
    marks = read_marks(text_tokens, model.config, objective)
    context = _context(model, settings)
    vocabulary = text_tokens.get_vocab_size()

    def tokens_of(part: str, texts: Iterator[str], most: int) -> Tokens:
        mark = f"{(job.scratch / checkpoints.JOB).read_text('utf-8')}:{part}"

        def told(done: int) -> None:
            report(Progress("train", done, most, "documents", note=""))

        return tokenise(
            text_tokens, texts, job.scratch / part, marks, mark, objective != "causal", told
        )

    learnt = tokens_of("train", _learnt(job, dataset), dataset.size("train"))
    if len(learnt.ids) < 2:
        raise InvalidData("training.no_rows", folder=dataset.folder)
    held = tokens_of("validation", _held(dataset, settings.tokens or 0), dataset.size("validation"))
    passes = max(1, math.ceil((settings.tokens or 1) / (len(learnt.ids) - 1)))
    rows: Examples
    if objective == "spans":
        rows = Pieces(learnt, context, marks, passes, job.seed)
        judged: Examples = Pieces(held, context, marks, 1, job.seed)
    else:
        rows = Blocks(learnt, objective, context, marks, vocabulary, passes, job.seed)
        judged = Blocks(held, objective, context, marks, vocabulary, 1, job.seed)
        if len(held.ids) < 2:
            judged = Pieces(held, context, marks)  # which has none
    sizes = np.zeros(max(vocabulary, model.config.vocab_size), np.int64)
    known = token_sizes(text_tokens)
    sizes[: len(known)] = known
    planned, seen = _planned(rows, passes, settings, job.seed)
    body = _body(job, settings)
    lesson = finetune.Lesson(
        schema,
        model,
        rows,
        judged,
        TokenCrossEntropy(sizes),
        body,
        lambda folder: _save(text_tokens, folder, source),
        "language-model",
        {"objective": objective, "context": context},
        order=planned,
        sample=_sampler(text_tokens, marks, objective, held),
    )
    figures = finetune.teach(job, settings, lesson, report)
    figures |= {
        "seconds": perf_counter() - start,
        "rows": float(dataset.size("train")),
        "tokens": float(seen),
        "corpus_tokens": float(len(learnt.ids) - 1),
        "parameters": float(sum(one.numel() for one in model.parameters())),
    }
    return TrainResult(figures, tuple(lesson.notes))


def _size(
    settings: Settings, objective: Objective, vocabulary: int, corpus: float
) -> architectures.Size:
    if settings.size != "auto":
        return settings.size
    return architectures.right_size(objective, vocabulary, corpus, settings.budget)


def _named(settings: Settings) -> architectures.Size:
    assert settings.size != "auto"
    return settings.size


def _objective(job: TrainJob) -> Objective:
    found: Objective = job.task_settings.get("objective", "causal")
    return found


def _corpus_bytes(job: TrainJob) -> float:
    """The bytes of the training documents, from the footer of the data version's file."""
    import pyarrow.parquet as pq

    dataset = Dataset(job.data)
    column = INPUT + next(iter(dataset.columns))
    with pq.ParquetFile(dataset.folder / ROWS) as file:
        footer = file.metadata
        size = sum(
            footer.row_group(group).column(place).total_uncompressed_size
            for group in range(footer.num_row_groups)
            for place in range(footer.num_columns)
            if footer.row_group(group).column(place).path_in_schema == column
        )
    return float(size * dataset.size("train") / max(1, len(dataset)))


def _body(job: TrainJob, settings: Settings) -> Body:
    source = job.previous or job.base
    if isinstance(source, Path):
        return describe(source)
    return fresh(_objective(job), _named(settings), settings.vocabulary or 0)


def _tokenizer(
    job: TrainJob, settings: Settings, dataset: Dataset, report: Report
) -> Tokenizer | None:
    """The tokenizer of a network that begins from nothing: the one that is named, or one trained on
    these documents. None where the base has its own."""
    from feilun.modalities.text.tokens import TextProcessor

    if isinstance(job.previous or job.base, Path):
        return None
    if settings.tokenizer:
        folder = Path(settings.tokenizer).expanduser()
        if not folder.is_dir():
            raise InvalidData("training.no_tokenizer", folder=folder)
        return TextProcessor.read(folder, 1_000_000).tokenizer
    kept = job.scratch / "tokenizer"
    if not (kept / "tokenizer_config.json").is_file():  # written last
        report(
            Progress("train", 0, 0, note=t("training.note_tokenizer", tokens=settings.vocabulary))
        )
        texts = documents(dataset, "train")
        own_tokenizer.save(own_tokenizer.train(texts, "bpe", settings.vocabulary or 0), kept)
    return TextProcessor.read(kept, 1_000_000).tokenizer


def _fresh(objective: Objective, settings: Settings) -> Any:
    """Makes the configuration of a network that begins from nothing, for a vocabulary."""

    def made(vocabulary: int, end: int, pad: int) -> Any:
        return architectures.config(
            objective, _named(settings), vocabulary, settings.context, end, pad
        )

    return made


def _context(model: Any, settings: Settings) -> int:
    limit = getattr(model.config, "max_position_embeddings", None)
    return min(settings.context, limit) if isinstance(limit, int) else settings.context


def _learnt(job: TrainJob, dataset: Dataset) -> Iterator[str]:
    """The training documents; in an update the new ones and `replay` times as many old ones."""
    if job.previous is None or not job.new_rows:
        return documents(dataset, "train")
    new = set(job.new_rows)
    ids = dataset.row_ids("train")
    old = [place for place, row in enumerate(ids) if row not in new]
    wanted = min(len(old), round(job.replay * (len(ids) - len(old))))
    drawn = np.random.default_rng(job.seed).choice(len(old), wanted, replace=False)
    kept = {ids[old[place]] for place in drawn.tolist()} | new
    return documents(dataset, "train", kept)


def _held(dataset: Dataset, tokens: int) -> Iterator[str]:
    """Validation documents, as many as are judged while `tokens` are learnt."""
    least, most = _HELD
    wanted, size = min(most, max(least, tokens // _JUDGED)), 0
    for text in documents(dataset, "validation"):
        if size > wanted * _PER_TOKEN:
            return
        size += len(text.encode("utf-8", "replace"))
        yield text


def _planned(rows: Any, passes: int, settings: Settings, seed: int) -> tuple[Order, int]:
    """Batches of the places of all passes until enough tokens are learnt, and how many these are.
    The model is judged ten times, at even distances."""
    costs = rows.costs[: rows.count]
    budget = settings.batch_tokens or 1
    once = order_batches(costs, passes, settings.batch_rows, budget, seed)
    batches: list[list[int]] = []
    seen = begin = 0
    for number, end in enumerate(once.ends):
        for batch in once.batches[begin:end]:
            if seen >= (settings.tokens or 1):
                break
            batches.append([place + number * rows.count for place in batch])
            seen += int(costs[batch].sum())
        begin = end
    judged = sorted(
        {round(len(batches) * part / _JUDGEMENTS) for part in range(1, _JUDGEMENTS + 1)}
    )
    return Order(batches, [end for end in judged if end > 0]), seen


def _save(text_tokens: Tokenizer, folder: Path, source: Path | str | None) -> None:
    config: dict[str, Any] = {}
    if isinstance(source, Path) and (source / "tokenizer_config.json").is_file():
        config = json.loads((source / "tokenizer_config.json").read_text("utf-8"))
    own_tokenizer.save(text_tokens, folder, config or None)


def _sampler(text_tokens: Tokenizer, marks: Any, objective: Objective, held: Tokens) -> Any:
    """What the model writes while it learns: the beginning of a validation document, continued."""
    if objective != "causal" or len(held.ids) < 16:
        return None
    begun = np.asarray(held.ids[:8], np.int64).tolist()

    def sample(model: Any) -> str:
        import torch

        with torch.no_grad():
            found = model.generate(
                input_ids=torch.tensor([begun], device=model.device),
                attention_mask=torch.ones(1, len(begun), dtype=torch.int64, device=model.device),
                do_sample=False,
                max_new_tokens=_SAMPLE,
                pad_token_id=marks.pad,
            )
        text: str = text_tokens.decode(found[0].tolist())
        return t("training.note_sample", text=text.replace("\n", " "))

    return sample
