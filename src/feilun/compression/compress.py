"""From a trained version to the variant that will answer: build all, measure all, choose one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from time import perf_counter

import numpy as np

from feilun.compression import measure
from feilun.compression.base import Export, exporter_of, exports
from feilun.compression.measure import ROWS
from feilun.compression.result import Compression, choose
from feilun.config import CompressionConfig
from feilun.engines.base import Engine, open_engine
from feilun.engines.card import read_card
from feilun.errors import CorruptArtifact, UsageError
from feilun.messages import t
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.tasks._questions import questions
from feilun.tasks.base import TaskBase
from feilun.types import Progress

__all__ = ["Compression", "compress"]

Report = Callable[[Progress], None]

_BUILT, _ANSWERED = 60.0, 85.0  # percent done after each part


def compress(
    version: Path, data: Path, out: Path, settings: CompressionConfig, report: Report
) -> Compression:
    """Builds the variants of the trained `version` into ``out/<precision>``, each self-contained,
    measures them on the validation rows of the dataset folder `data`, and chooses.

    Its exporter says which variants there are; the float one is always among them: it is what the
    others are held against, and what answers when they lose too much. A version that no exporter
    reads, or that it is unable to export here, is served as it was trained: it is its own and only
    variant. At most 1,000 rows are answered, or as many as the exporter says, 100 of them one at a
    time.

    Raises `UsageError` for a version that is a variant already or data without labels,
    `EnvironmentProblem` when the version cannot be converted.
    """
    card = read_card(version)
    dataset = Dataset(data)
    task = tasks.get(card.schema.task)
    if exports(card.format):
        raise UsageError("compression.is_variant", version=version)
    exporter = exporter_of(card.format)
    reason = exporter.unable(version, card) if exporter else None
    if exporter is None or reason is not None:
        rows = _sample(dataset, data, task, ROWS if exporter is None else exporter.ROWS)
        _tell(report, _BUILT, t("compression.measuring", rows=len(rows)))
        # A copy: the chosen variant's card gets an operating point, the version is never changed.
        shutil.copytree(version, out / card.format, copy_function=shutil.copyfile)
        order = [card.format]
        return _measured(order, order, out, rows, settings, report, [reason] if reason else [])
    rows = _sample(dataset, data, task, exporter.ROWS)

    def tick(share: float, note: str) -> None:
        _tell(report, share * _BUILT, note)

    names, skipped = exporter.export(Export(version, card, dataset, out, settings, tick))
    return _measured(names, exporter.VARIANTS, out, rows, settings, report, skipped)


def _sample(dataset: Dataset, data: Path, task: TaskBase, most: int) -> measure.Sample:
    rows = measure.sample(questions(dataset), task.family, most)
    if not len(rows) and not task.family.unjudged:
        raise UsageError("compression.no_rows", data=data)
    return rows


def _measured(
    names: Sequence[str],
    order: Sequence[str],
    out: Path,
    rows: measure.Sample,
    settings: CompressionConfig,
    report: Report,
    reasons: list[str],
) -> Compression:
    schema = read_card(out / names[0]).schema
    task, labels = tasks.get(schema.task), schema.labels
    answers: dict[str, np.ndarray] = {}
    taken: dict[str, float] = {}
    with ExitStack() as opened:
        engines: dict[str, Engine] = {}
        for number, name in enumerate(names):
            engine = opened.enter_context(closing(open_engine(out / name)))
            note = t("compression.measuring", rows=len(rows))
            _tell(report, _BUILT + number / len(names) * (_ANSWERED - _BUILT), note)
            start = perf_counter()
            try:
                answers[name] = engine.raw(rows.items)
            except CorruptArtifact:
                if not number:
                    raise
                reasons.append(t("compression.not_finite", name=name))
                continue
            taken[name] = perf_counter() - start
            engines[name] = engine
        _tell(report, _ANSWERED, t("compression.timing"))
        speeds = measure.speeds(engines, rows, names[0], taken)
    variants = tuple(
        measure.summary(name, out / name, rows, task, labels, got, answers[names[0]], speeds[name])
        for name, got in answers.items()
    )
    if len(rows):
        chosen, why = choose(variants, settings.max_loss, order)
    else:
        chosen, why = names[0], (t("compression.unmeasured", name=names[0]),)
    _tell(report, 100.0, why[-1])
    return Compression(out, variants, chosen, (*reasons, *why))


def _tell(report: Report, percent: float, note: str) -> None:
    report(Progress("compress", percent, 100.0, "%", note=note))
