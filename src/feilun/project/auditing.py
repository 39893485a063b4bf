"""The deep look at the data: findings with their costs, a page, a file of suspects to review."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feilun.data.sources.base import AS_FOUND, Held, ReadOptions, Source
from feilun.pipeline.context import Context
from feilun.pipeline.steps.audit import SAMPLE, Audited, Looked, look
from feilun.project.advice import command, next_turn
from feilun.project.audit_page import AuditReport, stem_of, write
from feilun.project.looks import base_processor
from feilun.store.dataset import Dataset, is_media
from feilun.store.records import DataVersion
from feilun.tasks import base as tasks

if TYPE_CHECKING:
    from feilun.data.audit.staging import Columns, Staged

__all__ = ["audit_files", "audit_version"]


def audit_version(context: Context, version: DataVersion, folder: Path) -> AuditReport:
    """A deep look at a data version; the files go to `folder`."""
    data = context.dataset(version)
    processor = base_processor(context)
    looked = Looked(
        data=data,
        task=context.task,
        settings=context.task_settings(),
        divided=True,
        suspects=folder / f"{stem_of(folder, version.id).name}-suspects.csv",
        clean=_command(context, "data", "clean"),
        run=_command(context, "run"),
        left_out={
            name: int(version.info.get(name) or 0)
            for name in ("read", "duplicates", "conflicts", "undecided")
        },
        processor=processor,
        base=_base(context),
        seed=context.config.data.seed,
        by_class=_by_class(version.info.get("sources", ())),
    )
    bad = int(version.info.get("bad") or 0)
    report = _report(context, looked, version.id, bad, folder, added=True)
    return replace(report, next=next_turn(context.store, context.project, version))


def audit_files(
    context: Context,
    files: Sequence[Any],
    columns: Mapping[str, str],
    query: str | None,
    folder: Path,
    read: ReadOptions = AS_FOUND,
) -> AuditReport:
    """A deep look at files, or rows at hand, before they are added: duplicates and contradictions
    are still there. Nothing is added."""
    from feilun.data.audit.staging import stage

    task, settings = context.task, context.task_settings()
    given = {**context.config.data.columns, **columns}
    places = [Held.place(file) for file in files]
    held = [place for place in places if isinstance(place, Held)]
    files = [str(place) for place in places]
    sources = [Source(place, read.options(query), given) for place in places]
    name = ", ".join(Path(file).name for file in files)
    artifacts = context.store.artifacts
    out = artifacts.new()
    try:
        staged = stage(sources, task, {}, settings, out / "rows")
        looked = Looked(
            data=staged.data,
            task=tasks.of(staged.data.schema),
            settings=staged.data.schema.settings,
            divided=False,
            suspects=folder / f"{Path(files[0]).stem}-suspects.csv",
            clean=_command(context, "data", "clean"),
            run=_command(context, "run"),
            add=f"project.add({', '.join(files)})"
            if held
            else f"{_command(context, 'data', 'add')} {shlex.join([*files, *_given(read)])}",
            bad=staged.bad,
            reasons=staged.reasons,
            columns=_columns(sources[0], context, staged),
            processor=base_processor(context),
            base=_base(context),
            scratch=out,
            seed=context.config.data.seed,
            by_class=_by_class([asdict(one) for one in staged.sources]),
        )
        report = _report(context, looked, name, staged.bad, folder, added=False, empty=staged.empty)
        return replace(report, next=looked.add)
    finally:
        shutil.rmtree(out, ignore_errors=True)


_FOLDERS = ("images",)
"""Formats whose order is that of their classes."""


def _by_class(sources: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all sources are folders whose sub-folders are the classes."""
    formats = [source["details"].get("format") for source in sources]
    return bool(formats) and all(one in _FOLDERS for one in formats)


def _given(read: ReadOptions) -> list[str]:
    """How the files are written, as options of a command."""
    given = {name: value for name, value in asdict(read).items() if value is not None}
    if (first := given.pop("day_first", None)) is not None:
        return [*_given(replace(read, day_first=None)), f"--{'day' if first else 'month'}-first"]
    return [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]


def _columns(source: Source, context: Context, staged: Staged) -> Columns | None:
    """A database is asked once: a second answer may have other rows. An iterator gives its rows
    once."""
    from feilun.data.audit.staging import sample_columns

    held = source.location.rows if isinstance(source.location, Held) else None
    if "://" in str(source.location) or hasattr(held, "__next__"):
        return None
    labels, rows = staged.data.schema.labels, staged.sources[0].rows
    return sample_columns(source, context.task, {}, labels, rows, SAMPLE)


def _report(
    context: Context,
    looked: Looked,
    name: str,
    bad: int,
    folder: Path,
    *,
    added: bool,
    empty: int = 0,
) -> AuditReport:
    from feilun.data.audit import audit

    found: Audited = look(looked, context.report)
    overview = audit(looked.data, processor=looked.processor, divided=added).to_json()
    overview["bad"], overview["empty"] = bad, overview["empty"] + empty
    stem = looked.suspects.name.removesuffix("-suspects.csv")
    report = AuditReport(
        version=name,
        audit=overview,
        media=_media(looked.data),
        findings=found.findings,
        inflation=found.inflation,
        rows=found.rows,
        sample=found.sample,
        accuracy=found.accuracy,
        page=folder / f"{stem}.html",
        suspects=found.suspects,
        added=added,
        stages=found.stages,
        _family=context.task.family,
    )
    write(report, folder / stem)
    return report


def _media(data: Dataset) -> bool:
    return any(map(is_media, data.columns.values()))


def _base(context: Context) -> str:
    return context.config.project.base or context.task.default_base or ""


def _command(context: Context, *words: str) -> str:
    return command(context.store, context.project, words)
