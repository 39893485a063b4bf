"""Networks of a named architecture and size that begin from nothing, as bases to be taught."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from feilun.messages import t
from feilun.modalities.language import architectures
from feilun.modalities.language.models import ready
from feilun.store.dataset import Dataset
from feilun.training import checkpoints, tokenizer
from feilun.training.body import VOCABULARY
from feilun.training.job import Report, TrainJob
from feilun.types import Progress

__all__ = ["source_of"]

_BYTES = 350
"""Of the rows for each token of the tokenizer."""
_LEAST = 600
_LENGTH = 512
_ROOM = 2
"""Times the longest text that is learnt which a network reads at most, so that it can write on."""


def source_of(job: TrainJob, dataset: Dataset, report: Report) -> Path | str | None:
    """What the training of `job` begins from. Of a base such as ``scratch:t5-small`` it is a folder
    in ``job.scratch``: random weights drawn by the job's seed, and a tokenizer of the training
    rows. It is made once, so that a killed run goes on from the same."""
    source = job.previous or job.base
    found = architectures.parsed(source)
    if found is None:
        return source
    mark = (job.scratch / checkpoints.JOB).read_text("utf-8")[:16]
    folder = job.scratch / f"begun-{mark}"
    if not folder.is_dir():
        aside = job.scratch / "beginning"
        shutil.rmtree(aside, ignore_errors=True)
        _make(*found, job, dataset, report, aside)
        aside.replace(folder)
    return folder


def _make(
    objective: architectures.Objective,
    size: architectures.Size,
    job: TrainJob,
    dataset: Dataset,
    report: Report,
    folder: Path,
) -> None:
    from transformers import set_seed

    volume = sum(len(text.encode("utf-8", "replace")) for text in _texts(dataset))
    wanted = min(VOCABULARY, max(_LEAST, volume // _BYTES))
    report(Progress("train", 0, 0, note=t("training.note_tokenizer", tokens=wanted)))
    made = tokenizer.train(_texts(dataset), "bpe", wanted)
    context = _ROOM * int(job.task_settings.get("max_length") or _LENGTH)

    def config(vocabulary: int, end: int, pad: int) -> Any:
        return architectures.config(objective, size, vocabulary, context, end, pad)

    set_seed(job.seed)
    model, made = ready(None, objective, made, config)
    tokenizer.save(made, folder)
    model.save_pretrained(folder)


def _texts(dataset: Dataset) -> Iterator[str]:
    """What the training rows ask and what they say."""
    rows = zip(dataset.items("train"), dataset.values("label", "train"), strict=True)
    for item, target in rows:
        yield str(item)
        if target:
            yield target
