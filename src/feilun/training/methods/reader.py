"""A network reads the passages that were found, and points at the answer (extractive question
answering).

An encoder gets two heads (Karpukhin and others, 2020): one for the first and the last token of the
answer, one for how relevant the passage is, by which the found passages are ranked anew. It learns
from questions with known answers: the passages that say the answer, and those that BM25 takes for
such and that do not, of which the right answer is none (the first token, as Devlin and others,
2019, for SQuAD 2.0). See `feilun.engines.reader` for what stands in a version.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import Field

from feilun.engines._library import Library
from feilun.engines.card import write_card
from feilun.engines.openvino import Requests, compiled_model
from feilun.engines.reader import Net, Window, Windows, ranked
from feilun.errors import EnvironmentProblem, InvalidData, UsageError
from feilun.messages import t
from feilun.modalities.checkpoints import quiet
from feilun.modalities.language import gguf
from feilun.modalities.text.tokens import TextProcessor
from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.training import precision
from feilun.training.body import describe
from feilun.training.descent import Descent
from feilun.training.documents import Example, answers_questions, library_of, reading_examples
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.retrieval import converted, reciprocal_rank
from feilun.training.rows import schema_of, start_card
from feilun.training.settings import MethodSettings
from feilun.types import Progress

if TYPE_CHECKING:
    import torch

__all__ = [
    "Settings",
    "estimate",
    "least_rows",
    "needs_base",
    "needs_torch",
    "order",
    "supports",
    "taught",
    "train",
]

order = 3
needs_base = True
needs_torch = True
least_rows = 60

ENCODER, HEADS = "encoder", "heads.safetensors"
_RATE = 1e-4  # for a width of 384
_SHARE = 0.17  # of the speed of bare matrix products
_JUDGES = 100  # validation questions that choose the share of BM25
_HELD = 400  # windows of validation questions that choose the epoch
_SHARES = np.linspace(0, 1, 11)
_NOWHERE = -1
"""Place of an answer that a passage says in other words: only its relevance is learnt."""


class Settings(MethodSettings):
    """``[training.reader]``."""

    epochs: int = Field(3, ge=1, le=100, description="passes over the questions")
    batch_rows: int = Field(16, ge=1, description="passages of a batch")
    learning_rate: float | None = Field(
        None, gt=0, lt=1, description="highest step size; by default by the size of the base"
    )
    negatives: int = Field(
        2,
        ge=0,
        le=10,
        description="passages beside each question that BM25 finds and that are no answer",
    )
    passages: int = Field(
        8, ge=1, le=10, description="passages that are read for a question, and ranked anew"
    )
    answer_tokens: int = Field(40, ge=1, le=500, description="tokens of an answer at most")
    lexical: float | None = Field(
        None,
        ge=0,
        le=1,
        description="share of BM25 in a passage's rank; by default what is best on the validation "
        "rows",
    )
    update_rate: float = Field(
        0.5, gt=0, le=1, description="step size of an update, as a share of learning_rate"
    )
    max_rows: int | None = Field(
        None, ge=2, description="questions used at most, drawn by the seed; by default all"
    )


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Questions answered from documents, with a base that is an encoder."""
    if isinstance(base, Path) and answers_questions(task) is None and gguf.found(base):
        return t("training.reason_writes", base=base)
    return answers_questions(task)


def taught(rows: DataStats) -> int:
    """The questions among the training rows."""
    return int(rows.labels.get("questions", 0))


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """Three passes over a question with its passage and its negatives in each epoch."""
    body = describe(_weights(job))
    used = min(taught(rows), settings.max_rows or rows.train)
    cost = float(job.task_settings.get("passage_tokens", 160)) * 1.4
    windows = used * (1 + settings.negatives)
    work = body.forward(cost) * (3 * windows * settings.epochs + settings.passages * _JUDGES)
    memory = body.bytes * 6 + body.activations(settings.batch_rows * cost) + 1e9
    detail = {
        "rows": float(used),
        "epochs": float(settings.epochs),
        "parameters": float(body.parameters),
        "disk_bytes": 3.0 * body.bytes,
    }
    return Estimate(int(memory), 20.0 + work / (machine.flops * _SHARE), detail)


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Trains, keeps the weights of the epoch with the lowest loss on the validation questions, and
    writes the version. An update goes on from the live version's weights."""
    import torch

    source = _weights(job)
    if not isinstance(source, Path):
        raise UsageError("training.needs_folder", method=job.method, base=source)
    begin = perf_counter()
    torch.set_num_threads(job.threads or precision.cores())
    torch.manual_seed(job.seed)
    dataset = Dataset(job.data)
    schema = schema_of(job, dataset)
    task = _task(job)
    report(Progress("train", 0, 1, "rows", note=t("training.note_indexing")))
    library = library_of(dataset, schema.settings)
    library.write(job.out)
    processor = task.processor(source, schema.settings)
    assert isinstance(processor, TextProcessor)
    windows = Windows(processor)
    examples = reading_examples(dataset, library, "train", settings.negatives)
    if settings.max_rows is not None and len(examples) > settings.max_rows:
        drawn = np.random.default_rng(job.seed).choice(len(examples), settings.max_rows, False)
        examples = [examples[place] for place in np.sort(drawn).tolist()]
    lessons = _lessons(examples, library, windows)
    if not any(one.last > 0 for one in lessons):
        raise InvalidData("training.no_spans", questions=len(examples))
    held = reading_examples(dataset, library, "validation", settings.negatives)
    module: Any = _module(source)
    _without_dropout(module)
    rate = settings.learning_rate or _RATE * min(2.0, 384 / max(1, describe(source).width))
    if job.previous is not None:
        rate *= settings.update_rate
    course = _Course(module, windows, settings, rate, report)
    figures = course.run(lessons, _lessons(held, library, windows)[:_HELD], job.seed)
    module.eval().requires_grad_(requires_grad=False)
    _save(module, processor, job.out)
    arrays = windows.collate([one.window for one in lessons[:2]])
    worst = converted(module, arrays, job.out, lambda logits: 1 / (1 + np.exp(-logits)))
    if not worst <= 0.02:
        reason = f"probabilities differ by {worst:.3g}"
        raise EnvironmentProblem("training.cannot_convert", reason=reason)
    card = start_card(job, "reader", schema, settings.model_dump())
    compiled, _, _ = compiled_model(job.out, card, None, job.threads)
    requests = Requests(compiled)
    share = settings.lexical
    if share is None:
        report(Progress("train", 1, 1, "steps", note=t("training.note_ranking")))
        share = _best_share(lambda given: requests(given)[0], windows, settings, held, library)
    write_card(job.out, replace(card, extra={"lexical": share}))
    figures |= {"questions": float(len(examples)), "lexical": share}
    return TrainResult({"seconds": perf_counter() - begin, **figures})


def _task(job: TrainJob) -> TaskBase:
    from feilun.tasks import base as tasks

    return tasks.get(job.task)


def _weights(job: TrainJob) -> Path | str | None:
    return job.base if job.previous is None else job.previous / ENCODER


class _Lesson(NamedTuple):
    """A window, the tokens of it at which the answer begins and ends (0 where it has none,
    `_NOWHERE` where that is not learnt), and whether it is relevant."""

    window: Window
    first: int
    last: int
    relevant: bool


def _lessons(examples: Sequence[Example], library: Library, windows: Windows) -> list[_Lesson]:
    found = []
    for one in examples:
        texts = [library.passages[place].text for place in (*one.right, *one.wrong)]
        for place, window in windows.of(one.question, texts):
            if place >= len(one.right):
                found.append(_Lesson(window, 0, 0, False))
                continue
            span = one.spans[place]
            if span is None:
                found.append(_Lesson(window, _NOWHERE, _NOWHERE, True))
                continue
            first, last = _tokens(window, *span)
            found.append(_Lesson(window, first, last, bool(last)))
    return found


def _tokens(window: Window, start: int, end: int) -> tuple[int, int]:
    """The tokens of a window that characters of its passage begin and end in; 0, 0 where they are
    not all in it."""
    begins, ends = window.offsets[:, 0], window.offsets[:, 1]
    if start < begins[0] or end > ends[-1]:
        return 0, 0
    first = int(np.searchsorted(ends, start, "right"))
    last = int(np.searchsorted(begins, end, "left")) - 1
    return (window.first + first, window.first + last) if first <= last else (0, 0)


class _Course:
    """One training."""

    def __init__(
        self, module: Any, windows: Windows, settings: Settings, rate: float, report: Report
    ) -> None:
        self._module, self._windows, self._settings = module, windows, settings
        self._rate, self._report = rate, report
        self._half = precision.prefers_bf16()

    def run(
        self, lessons: Sequence[_Lesson], held: Sequence[_Lesson], seed: int
    ) -> dict[str, float]:
        """Trains; leaves the best weights in the module. Returns figures."""
        settings = self._settings
        draw = np.random.default_rng(seed)
        batches = -(-len(lessons) // settings.batch_rows)
        steps = batches * settings.epochs
        descent = Descent(self._module, self._rate, steps)
        kept, lowest, epoch_of, done, loss = None, np.inf, settings.epochs, 0, 0.0
        for epoch in range(1, settings.epochs + 1):
            self._module.train()
            for part in np.array_split(draw.permutation(len(lessons)), batches):
                loss = descent.step(self._loss([lessons[place] for place in part.tolist()]))
                done += 1
                figures = {"loss": loss, "epoch": float(epoch)}
                self._report(Progress("train", done, steps, "steps", figures))
            if held and (found := self._held(held)) < lowest:
                kept, lowest, epoch_of = copy.deepcopy(self._module.state_dict()), found, epoch
        if kept is not None:
            self._module.load_state_dict(kept)
        said = {"validation_loss": float(lowest)} if held else {}
        counts = {"steps": done, "epochs": settings.epochs, "best_epoch": epoch_of}
        return {"loss": loss, **{name: float(one) for name, one in counts.items()}, **said}

    def _held(self, held: Sequence[_Lesson]) -> float:
        import torch

        self._module.eval()
        size, total = self._settings.batch_rows, 0.0
        with torch.inference_mode():
            for start in range(0, len(held), size):
                part = held[start : start + size]
                total += float(self._loss(part)) * len(part)
        return total / len(held)

    def _loss(self, batch: Sequence[_Lesson]) -> torch.Tensor:
        """The cross-entropy of first and last token, among those of the passage and the one that
        says that there is no answer, and that of the relevance."""
        import torch

        arrays = self._windows.collate([one.window for one in batch])
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        allowed = torch.zeros(tensors["input_ids"].shape, dtype=torch.bool)
        for row, one in enumerate(batch):
            allowed[row, 0] = True
            allowed[row, one.window.first : one.window.first + len(one.window.offsets)] = True
        with torch.autocast("cpu", torch.bfloat16, enabled=self._half):
            logits = self._module(**tensors)
        logits = logits.float()
        known = torch.tensor([one.last != _NOWHERE for one in batch])
        relevant = torch.tensor([float(one.relevant) for one in batch])
        total = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0, 2], relevant)
        if known.any():
            for place, name in enumerate(("first", "last")):
                scores = logits[:, :, place].masked_fill(~allowed, -1e4)[known]
                wanted = torch.tensor([getattr(one, name) for one in batch])[known]
                total = total + torch.nn.functional.cross_entropy(scores, wanted) / 2
        return total


def _best_share(
    net: Net, windows: Windows, settings: Settings, held: Sequence[Example], library: Library
) -> float:
    """The share of BM25 with the highest mean reciprocal rank of the first right passage among
    those that are read; among equal ones the smallest. .5 where there are too few questions."""
    total, asked = np.zeros(len(_SHARES)), 0
    for one in [each for each in held if each.right][:_JUDGES]:
        found = library.search(one.question)
        passages = found.whole.passages[: settings.passages]
        right = [n for n, place in enumerate(found.places[: len(passages)]) if place in one.right]
        if not right or len(passages) < 2:
            continue
        relevance = np.zeros(len(passages))
        texts = [each.text for each in passages]
        for seen in ranked(net, windows, one.question, texts, settings.answer_tokens):
            relevance[seen.place] = seen.relevance
        lexical = np.array([each.score for each in passages])
        for number, share in enumerate(_SHARES.tolist()):
            total[number] += reciprocal_rank((1 - share) * relevance + share * lexical, right)
        asked += 1
    return round(float(_SHARES[int(np.argmax(total))]), 2) if asked >= 5 else 0.5


def _module(source: Path) -> torch.nn.Module:
    """The encoder in `source` with its heads; new ones where it has none."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModel

    from feilun.modalities import checkpoints

    class Reader(torch.nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model
            self.heads = torch.nn.Linear(model.config.hidden_size, 3)

        def forward(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            token_type_ids: torch.Tensor | None = None,
        ) -> torch.Tensor:
            types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
            output = self.model(input_ids=input_ids, attention_mask=attention_mask, **types)
            hidden = output.last_hidden_state.float()
            mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
            # The mean says what the whole is about in every encoder, the first token in some.
            mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
            weight, bias = self.heads.weight, self.heads.bias
            spans = torch.nn.functional.linear(hidden, weight[:2], bias[:2])
            relevance = torch.nn.functional.linear(mean, weight[2:], bias[2:])
            return torch.cat([spans, relevance.unsqueeze(1).expand(-1, hidden.shape[1], -1)], -1)

    module = Reader(checkpoints.read(AutoModel, source))
    if (source / HEADS).is_file():
        module.heads.load_state_dict(load_file(source / HEADS))
    return module


def _save(module: Any, processor: TextProcessor, out: Path) -> None:
    from safetensors.torch import save_file

    encoder = out / ENCODER
    with quiet():
        module.model.save_pretrained(encoder)
    tensors = {name: one.contiguous() for name, one in module.heads.state_dict().items()}
    save_file(tensors, encoder / HEADS)
    processor.save(encoder)
    processor.save(out)


def _without_dropout(module: Any) -> None:
    import torch

    for one in module.modules():
        if isinstance(one, torch.nn.Dropout):
            one.p = 0.0
