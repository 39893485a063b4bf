"""From a trained version to the variant that will answer: build all, measure all, choose one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from feilun.compression import measure
from feilun.compression.result import Compression, choose
from feilun.config import CompressionConfig
from feilun.engines.base import Engine, converts, open_engine
from feilun.engines.card import Card, read_card
from feilun.errors import CorruptArtifact, UsageError
from feilun.messages import t
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.tasks._questions import questions
from feilun.types import Item, Progress

__all__ = ["Compression", "compress"]

Report = Callable[[Progress], None]

_CONVERTED, _BUILT, _ANSWERED = 15.0, 60.0, 85.0  # percent done after each part


def compress(
    version: Path, data: Path, out: Path, settings: CompressionConfig, report: Report
) -> Compression:
    """Builds the variants of the trained `version` into ``out/<precision>``, each self-contained,
    measures them on the validation rows of the dataset folder `data`, and chooses.

    float32 is always among them: it is what the others are held against, and what answers when
    they lose too much. A version that its engine serves as it was
    trained (`linear`, `trees`) is its own and only variant. At most 1,000 rows are
    answered, 100 of them one at a time; calibration sees training rows alone.

    Raises `UsageError` for a version that is a variant already or data without labels,
    `EnvironmentProblem` when the version cannot be converted.
    """
    card = read_card(version)
    dataset = Dataset(data)
    task = tasks.get(card.schema.task)
    rows = measure.sample(questions(dataset), task.family)
    if not len(rows) and not task.family.unjudged:
        raise UsageError("compression.no_rows", data=data)
    if card.format == "openvino":
        raise UsageError("compression.is_variant", version=version)
    if not converts(card.format):
        _tell(report, _BUILT, t("compression.measuring", rows=len(rows)))
        # A copy: the chosen variant's card gets an operating point, the version is never changed.
        shutil.copytree(version, out / card.format, copy_function=shutil.copyfile)
        return _measured([card.format], out, rows, settings, report, [])
    names, skipped = _build(version, card, dataset, out, settings, report)
    return _measured(names, out, rows, settings, report, skipped)


def _build(
    version: Path,
    card: Card,
    dataset: Dataset,
    out: Path,
    settings: CompressionConfig,
    report: Report,
) -> tuple[list[str], list[str]]:
    """The names of the variants built, float32 first, and why others were not."""
    from feilun.compression.convert import convert, processor_of, write_variant
    from feilun.engines.openvino import openvino

    _tell(report, 0.0, t("compression.converting"))
    processor = processor_of(version, card)
    model = convert(version, card)
    write_variant(model, out / "fp32", card, processor, "fp32")
    _tell(report, _CONVERTED, t("compression.converting"))
    names, skipped = ["fp32"], []
    for name in settings.variants:
        if name in names:
            continue
        if name == "bf16":
            able = openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
            if "BF16" not in able:
                skipped.append(t("compression.no_bf16"))
                continue
            write_variant(model, out / name, card, processor, name)
        else:
            from feilun.compression.quantize import quantize

            items = _spread(dataset.items("train"), settings.calibration_rows)
            note = t("compression.quantizing", rows=len(items))

            def tick(share: float, note: str = note) -> None:
                _tell(report, _CONVERTED + share * (_BUILT - _CONVERTED), note)

            small = quantize(model, processor, items, tick)
            write_variant(small, out / name, card, processor, name)
        names.append(name)
    return names, skipped


def _measured(
    names: Sequence[str],
    out: Path,
    rows: measure.Sample,
    settings: CompressionConfig,
    report: Report,
    reasons: list[str],
) -> Compression:
    schema = read_card(out / names[0]).schema
    task, labels = tasks.get(schema.task), schema.labels
    answers: dict[str, np.ndarray] = {}
    with ExitStack() as opened:
        engines: dict[str, Engine] = {}
        for number, name in enumerate(names):
            engine = opened.enter_context(closing(open_engine(out / name)))
            note = t("compression.measuring", rows=len(rows))
            _tell(report, _BUILT + number / len(names) * (_ANSWERED - _BUILT), note)
            try:
                answers[name] = engine.raw(rows.items)
            except CorruptArtifact:
                if not number:
                    raise
                reasons.append(t("compression.not_finite", name=name))
                continue
            engines[name] = engine
        _tell(report, _ANSWERED, t("compression.timing"))
        speeds = measure.speeds(engines, rows, names[0])
    variants = tuple(
        measure.summary(name, out / name, rows, task, labels, got, answers[names[0]], speeds[name])
        for name, got in answers.items()
    )
    if len(rows):
        chosen, why = choose(variants, settings.max_loss)
    else:
        chosen, why = names[0], (t("compression.unmeasured", name=names[0]),)
    _tell(report, 100.0, why[-1])
    return Compression(out, variants, chosen, (*reasons, *why))


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[place] for place in places.tolist()]


def _tell(report: Report, percent: float, note: str) -> None:
    report(Progress("compress", percent, 100.0, "%", note=note))
