"""From a trained version to the variant that will answer: build all, measure all, choose one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np

from feilun.compression import cascade, measure
from feilun.compression.base import Export, exporter_of, exports
from feilun.compression.cascade import Stage
from feilun.compression.measure import ROWS
from feilun.compression.result import Compression, choose
from feilun.config import CompressionConfig, ProjectConfig
from feilun.engines.base import Engine, open_engine
from feilun.engines.card import read_card
from feilun.engines.cascade import Level
from feilun.errors import CorruptArtifact, UsageError
from feilun.messages import t
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.tasks._questions import questions
from feilun.tasks.base import TaskBase
from feilun.types import Progress

__all__ = ["NAME", "Compression", "compress"]

Report = Callable[[Progress], None]

NAME = "cascade"
"""The name of the variant that is a cascade."""

_BUILT, _ANSWERED = 60.0, 85.0  # percent done after each part


def compress(
    version: Path,
    data: Path,
    out: Path,
    settings: CompressionConfig,
    report: Report,
    *,
    cheaper: Sequence[Stage] = (),
    config: ProjectConfig | None = None,
) -> Compression:
    """Builds the variants of the trained `version` into ``out/<precision>``, each self-contained,
    measures them on the validation rows of the dataset folder `data`, and chooses.

    Its exporter says which variants there are; the float one is always among them: it is what the
    others are held against, and what answers when they lose too much. A version that no exporter
    reads, or that it is unable to export here, is served as it was trained: it is its own and only
    variant. At most 1,000 rows are answered, or as many as the exporter says, 100 of them one at a
    time.

    Where one of the `cheaper` models can answer enough of the rows within the allowed loss, a
    cascade of it and the chosen variant is a variant, too, and is chosen. Its operating point is
    set as `config` says.

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
        made = _measured(order, order, out, rows, settings, report, [reason] if reason else [])
        return _cascaded(*made, rows, cheaper, settings, config)
    rows = _sample(dataset, data, task, exporter.ROWS)

    def tick(share: float, note: str) -> None:
        _tell(report, share * _BUILT, note)

    names, skipped = exporter.export(Export(version, card, dataset, out, settings, tick))
    made = _measured(names, exporter.VARIANTS, out, rows, settings, report, skipped)
    return _cascaded(*made, rows, cheaper, settings, config)


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
) -> tuple[Compression, dict[str, np.ndarray]]:
    """What was measured, and the raw outputs of every variant."""
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
    return Compression(out, variants, chosen, (*reasons, *why)), answers


def _cascaded(
    made: Compression,
    answers: Mapping[str, np.ndarray],
    rows: measure.Sample,
    cheaper: Sequence[Stage],
    settings: CompressionConfig,
    config: ProjectConfig | None,
) -> Compression:
    """`made` with the cascade that saves most, if one saves enough; else with the reason why none
    does."""
    if not cheaper or config is None or not settings.cascade or not len(rows):
        return made
    card = read_card(made.folder(made.chosen))
    task = tasks.of(card.schema)
    unable = task.family.uncascaded()
    if unable is None and len(rows) < cascade.LEAST_ROWS:
        unable = t("compression.cascade_few", rows=len(rows), least=cascade.LEAST_ROWS)
    if unable is not None:
        return replace(made, reasons=(*made.reasons, unable))
    first = answers[made.variants[0].name]
    chosen = made.variant(made.chosen)
    last = Stage(Level(card.method, variant=made.chosen), made.folder(made.chosen),
                 chosen.throughput)  # fmt: skip
    best: tuple[float, cascade.Fitted, list[Stage]] | None = None
    for stages in cascade.chains(cheaper, last):
        raws = [cascade.asked(one.folder, rows.items) for one in stages[:-1]]
        fitted = cascade.fit(
            [one.level for one in stages],
            [*raws, answers[made.chosen]],
            rows.truth,
            card.schema,
            first,
            settings.max_loss,
            config,
        )
        saving = cascade.saved(fitted, stages) if fitted else 0.0
        if fitted and saving >= cascade.SAVES and (best is None or saving > best[0] + 0.05):
            best = saving, fitted, stages
    if best is None:
        return replace(made, reasons=(*made.reasons, t("compression.cascade_none")))
    saving, fitted, stages = best
    folder = made.folder(NAME)
    cascade.write(fitted, stages, folder)
    with ExitStack() as opened:
        engines: dict[str, Engine] = {
            name: opened.enter_context(closing(open_engine(made.folder(name))))
            for name in (made.chosen, NAME)
        }
        start = perf_counter()
        raw = engines[NAME].raw(rows.items)
        taken = {NAME: perf_counter() - start}
        taken[made.chosen] = len(rows) / chosen.throughput
        speed = measure.speeds(engines, rows, made.chosen, taken)[NAME]
    found = measure.summary(NAME, folder, rows, task, card.schema.labels, raw, first, speed)
    words = cascade.told(fitted, task.primary, len(rows))
    found = replace(found, note=words)
    if found.loss > settings.max_loss + 1e-9:  # never by the same engines; by others it may
        return replace(made, variants=(*made.variants, found))
    return replace(
        made,
        variants=(*made.variants, found),
        chosen=NAME,
        reasons=(*made.reasons, words, *fitted.notes),
        settled=(NAME,),
    )


def _tell(report: Report, percent: float, note: str) -> None:
    report(Progress("compress", percent, 100.0, "%", note=note))
