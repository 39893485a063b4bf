"""From sources to a data version: checked, without duplicates, divided, and the same every time.

Two passes. The first reads every source once, sends usable rows to a spill file beside the new
version and keeps some 40 bytes of each in memory. Then equal contents become one row, labels that
contradict each other are settled, near-duplicates are found (texts are read once more; some 30
bytes a row beside the 40, the rest waits in files), and rows are divided. The second pass writes
what is kept.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Literal

import numpy as np

from feilun.config import DataConfig
from feilun.data._bad_rows import BadRows
from feilun.data._contents import UNDECIDED, Contents, group_contents
from feilun.data._decide import Decision, decide
from feilun.data._gather import CORRECTION, NEW, RELABEL, WAITED, Gathered
from feilun.data._intake import MAX_LABELS, WAITING, Intake
from feilun.data._near_rows import near_contents
from feilun.data._observations import tell_apart
from feilun.data._ticker import Ticker
from feilun.data._warnings import label_warnings, source_warnings, split_warnings
from feilun.data._write import Ids, write_rows
from feilun.data.clean.mending import Mending
from feilun.data.columns import bind, divided_by
from feilun.data.outcome import BuildReport, Notice
from feilun.data.sources.base import AnySource
from feilun.data.splits import SPLITS, Shares
from feilun.errors import FeilunError, InvalidData
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.tasks.base import TaskBase
from feilun.types import Progress, Schema, Split

__all__ = ["MAX_LABELS", "MIN_ROWS", "WAITING", "build"]

MIN_ROWS = 10
"""Different rows that a data version must have: fewer cannot be divided and judged."""
_TEST = SPLITS.index("test")


def build(
    sources: Sequence[AnySource],
    *,
    task: TaskBase,
    settings: DataConfig,
    out: Path,
    task_settings: Mapping[str, Any] | None = None,
    previous: Dataset | None = None,
    split: Literal["auto"] | Split = "auto",
    report: Callable[[Progress], None] | None = None,
    exclude: Container[bytes] = frozenset(),
    bad_rows: Path | None = None,
    new_label_rows: int = 1,
    relabel: bool = False,
    append: bool = False,
    mending: Mending | None = None,
) -> BuildReport:
    """Builds the next data version of `sources` and `previous` in the empty folder `out`.

    Rows of `previous` keep their id, their split and, but for corrections, their label; with
    `relabel` the labels that files bring for them are corrections, of test rows too. With
    `append` rows of observations that have no id are new, also where the previous version has equal
    ones. Rows whose content is in `exclude` (see `content_keys`) are left out, old ones too. Equal
    contents become one row. New rows are divided by `split`, by their source, or else by lot; while
    the user's own test (or validation) rows are there, no others are drawn for it. Near-duplicates
    stand in one split, and new rows that are nearly test rows of `previous` are left out. Unusable
    rows go to the file `bad_rows`. A label that `previous` does not know and that corrections alone
    have brought waits in the folder `WAITING` until it has `new_label_rows`; rows of a file bring
    theirs at once. Rows that come in go through the recipe of `previous`; `mending` extends it, and
    cleans the rows of `previous` too.

    Raises `InvalidData` for what cannot be read or learnt from and `EnvironmentProblem` when the
    disk is full; `out` is no data version then, and nothing else was touched.
    """
    began = time.perf_counter()
    task, task_settings, left_out = bind(
        task, sources, settings.columns, task_settings or {}, previous
    )
    kinds = {column.name: column.kind for column in task.columns}
    by = divided_by(task, sources, settings, previous)
    settings = settings.model_copy(update={"split_by": by})
    spill = out / ".spill"
    tick = Ticker(report)
    mending = mending or Mending()
    with ExitStack() as stack:
        stack.enter_context(closing(mending))
        mending.begin(task, previous)
        bad = stack.enter_context(closing(BadRows(bad_rows)))
        writer = stack.enter_context(DatasetWriter(out, kinds, task.family.stratum))
        stack.callback(spill.unlink, missing_ok=True)
        gathered = stack.enter_context(closing(Gathered(spill, kinds, writer, task, by)))
        intake = Intake(task, settings, gathered, bad, exclude, tick, mending, relabel)
        if previous is not None:
            intake.previous(previous)
        for source in sources:
            intake.source(source, split)
        gathered.finish()
        if not len(gathered.rows):
            raise _nothing(intake, bad)
        repeats, matched = tell_apart(gathered, append) if task.observations else (0, 0)
        contents = group_contents(gathered, mending.active)
        near = None
        apart = settings.near_duplicates and not task.observations  # alike ones are others
        if apart or mending.near:
            near = near_contents(gathered, contents, kinds, out, tick)
        mending.together(gathered, contents, near)
        known = mending.known(previous.schema.labels) if previous else ()
        waiting, waits = _waiting(task, gathered, contents, known, new_label_rows)
        near = near if apart else None
        strata = _strata(task, gathered, contents)
        shares = _shares(settings, intake.own)
        decision = decide(gathered, contents, strata, shares, waits, near, task.lean)
        _check(task, gathered, contents, decision, _rejected(intake))
        labels = _labels(task, gathered, decision, known, mending.active)
        if len(labels) > MAX_LABELS:
            name, shown = intake.sources[-1].name, [label[:40] for label in labels[-3:]]
            raise InvalidData("data.too_many_labels", file=name, limit=MAX_LABELS, examples=shown)
        schema = Schema(task.name, labels, task_settings)
        ids = Ids(gathered, decision.keep)
        fresh = np.zeros(len(gathered.rows), bool)
        if previous is not None:
            fresh[contents.first] = ~contents.old | contents.corrected
        tick.begin("write", len(gathered.rows), "rows", None)
        media, new_ids = write_rows(
            gathered,
            decision.keep,
            decision,
            writer,
            kinds=kinds,
            media_from=previous.folder if previous else None,
            ids=ids,
            fresh=fresh,
            tick=tick,
        )
        if decision.waiting.any():
            with DatasetWriter(out / WAITING, kinds, task.family.stratum) as aside:
                write_rows(
                    gathered,
                    decision.waiting,
                    decision,
                    aside,
                    kinds=kinds,
                    media_from=out,
                    ids=Ids(gathered, decision.waiting),
                )
                aside.close(schema)
        writer.keep_media(media)
        mending.finish(out)
        writer.close(schema, _info(settings, intake.own, mending.recipe))
        tick(len(gathered.rows), last=True)
    counts = Dataset(out).counts
    differing, differing_test = _differing(gathered, contents)
    return BuildReport(
        out=out,
        rows=int(decision.keep.sum()),
        new=int((decision.keep[contents.first] & ~contents.old).sum()),
        read=intake.read,
        bad=bad.count,
        bad_rows=bad.path,
        reasons=bad.reasons(),
        duplicates=len(gathered.rows) - len(contents.first),
        conflicts=contents.conflicts,
        undecided=int((contents.label == UNDECIDED).sum()),
        corrected=int(contents.corrected.sum()),
        held_out=intake.held_out,
        removed=intake.removed,
        overlaps=decision.moved,
        near=_near(contents, decision, near),
        near_test=decision.near_test,
        waiting=waiting,
        counts=counts,
        labels=labels,
        new_labels=tuple(label for label in labels if label not in known),
        new_ids=tuple(new_ids),
        sources=tuple(intake.sources),
        warnings=(
            *left_out,
            *_warnings(task, gathered, intake, bad, contents, decision, ids),
            *_staying(differing, differing_test),
            *([Notice("data.equal_rows", {"rows": repeats})] if repeats else ()),
            *([Notice("formats.rows_matched", {"rows": matched})] if matched else ()),
        ),
        seconds=time.perf_counter() - began,
        recipe=tuple(mending.recipe),
        mended=mending.reports(),
        corrected_test=int((contents.corrected & (contents.split == _TEST)).sum()),
        differing=differing,
        differing_test=differing_test,
        matched=matched,
    )


def _shares(settings: DataConfig, own: set[str]) -> Shares:
    return Shares(
        0.0 if "validation" in own else settings.validation,
        0.0 if "test" in own else settings.test,
        settings.seed,
    )


def _info(
    settings: DataConfig, own: set[str], recipe: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What the version keeps of how it was divided and mended: the same for the same rows."""
    return {
        **({"recipe": list(recipe)} if recipe else {}),
        "seed": settings.seed,
        "validation": settings.validation,
        "test": settings.test,
        "own_splits": sorted(own),
        "near_duplicates": settings.near_duplicates,
        "split_by": settings.split_by,
    }


def _near(contents: Contents, decision: Decision, near: np.ndarray | None) -> int:
    """Kept contents that another one leads."""
    if near is None:
        return 0
    return int((decision.keep[contents.first] & (near != np.arange(len(near)))).sum())


def _waiting(
    task: TaskBase, gathered: Gathered, contents: Contents, labels: tuple[str, ...], minimum: int
) -> tuple[dict[str, int], set[int]]:
    """Names that are not among the previous version's `labels`, that corrections alone brought and
    that are too rare yet, with their rows; and the numbers of the targets that have one of them."""
    if not labels or minimum <= 1:
        return {}, set()
    fresh = _named(task, gathered.labels, frozenset(labels))
    rows: Counter[str] = Counter()
    counts = np.bincount(contents.label[contents.label >= 0], minlength=len(gathered.labels))
    for code, names in fresh.items():
        rows.update(dict.fromkeys(names, int(counts[code])))
    origins = np.frombuffer(gathered.rows.origins, np.int8)
    given = contents.label[contents.of_row[~np.isin(origins, (CORRECTION, WAITED))]]
    # The user has put rows of these into a file himself.
    brought = {name for code in np.unique(given).tolist() for name in fresh.get(code, ())}
    rare = {
        name: count for name, count in rows.items() if 0 < count < minimum and name not in brought
    }
    return rare, {code for code, names in fresh.items() if not rare.keys().isdisjoint(names)}


def _named(
    task: TaskBase, targets: Sequence[str], known: Collection[str] = ()
) -> dict[int, list[str]]:
    """The names in each of `targets` that are not `known`, by its place; those without any are left
    out."""
    found = {}
    for place, target in enumerate(targets):
        names = [name for name in task.family.names([target]) if name not in known]
        if names:
            found[place] = names
    return found


def _labels(
    task: TaskBase,
    gathered: Gathered,
    decision: Decision,
    known: tuple[str, ...],
    mended: bool,
) -> tuple[str, ...]:
    """The labels in the order of the model's outputs: those `known` from the version before keep
    their places, new ones follow in the task's order. A `mended` version has no label without
    rows."""
    used = {gathered.labels[code] for code in np.unique(decision.label[decision.keep]).tolist()}
    names = task.family.names(used - set(known))
    present = used | set(names)
    staying = [label for label in known if label in present or not mended]
    return (*staying, *(name for name in names if name not in known))


def _strata(task: TaskBase, gathered: Gathered, contents: Contents) -> np.ndarray:
    """For each target met the number of the stratum with which it is divided."""
    rows = np.bincount(contents.label[contents.label >= 0], minlength=len(gathered.labels))
    strata = task.family.strata(dict(zip(gathered.labels, rows.tolist(), strict=True)))
    codes: dict[str, int] = {}
    return np.array([codes.setdefault(one, len(codes)) for one in strata], np.int64)


def _nothing(intake: Intake, bad: BadRows) -> FeilunError:
    """Why there are no rows at all."""
    files = [source.name for source in intake.sources]
    if bad.count:
        why = bad.reasons()[0][0]
        return InvalidData("data.all_bad", files=files, rows=bad.count, reason=why.text())
    if left := _rejected(intake):
        return InvalidData("formats.all_left_out", files=files, rows=left)
    if intake.held_out:
        return InvalidData("data.all_held_out", files=files, rows=intake.held_out)
    return InvalidData("data.no_rows", files=files)


def _rejected(intake: Intake) -> int:
    """How many rows were left out because whoever labelled them rejected them."""
    left = (source.details.get("left_out", {}) for source in intake.sources)
    return sum(one.get("formats.not_examples", 0) for one in left)


def _check(
    task: TaskBase, gathered: Gathered, contents: Contents, decision: Decision, rejected: int
) -> None:
    """Refuses what no model can learn from or be judged on."""
    if task.family.unjudged:
        return
    rows = int(decision.keep.sum())
    undecided = int((contents.label == UNDECIDED).sum())
    if rows < MIN_ROWS <= rows + undecided:
        raise InvalidData("data.too_few_decided", rows=rows, undecided=undecided, minimum=MIN_ROWS)
    labels = np.unique(decision.label[decision.keep])
    asking = [one for one in labels.tolist() if task.family.asks(gathered.labels[one])]
    if len(labels) and not asking:
        raise InvalidData("data.describes_only", rows=rows)
    labels = np.array(asking)
    if len(contents.first) == 1 and len(gathered.rows) > 1:
        raise InvalidData("data.all_duplicates", rows=len(gathered.rows))
    if len(labels) == 1 and not _teachable(task, gathered, decision.label[decision.keep]):
        label = gathered.labels[int(labels[0])]
        if rejected:
            raise InvalidData("formats.one_class", label=label, rows=rows, rejected=rejected)
        raise InvalidData("data.one_class", label=label, rows=rows)
    if rows < MIN_ROWS:
        raise InvalidData("data.too_few_rows", rows=rows, minimum=MIN_ROWS)
    train = decision.label[decision.keep & (decision.split == 0)]
    if not _teachable(task, gathered, train):
        raise InvalidData("data.no_training_rows", labels=len(np.unique(train)))


def _teachable(task: TaskBase, gathered: Gathered, codes: np.ndarray) -> bool:
    """Whether anything can be learnt from rows with these targets."""
    found, counts = np.unique(codes, return_counts=True)
    some = zip(found.tolist(), counts.tolist(), strict=True)
    return task.family.teachable(gathered.labels[c] for c, n in some for _ in range(min(n, 2)))


def _warnings(
    task: TaskBase,
    gathered: Gathered,
    intake: Intake,
    bad: BadRows,
    contents: Contents,
    decision: Decision,
    ids: Ids,
) -> list[Notice]:
    targets = _targets(gathered, decision)
    names: dict[str, Counter[str]] = {split: Counter() for split in targets}
    for split, rows in targets.items():
        for target, count in rows.items():
            names[split].update(dict.fromkeys(task.family.names([target]), count))
    kept = int(decision.keep.sum())
    found = [
        *label_warnings(sum(names.values(), Counter()), kept),
        *split_warnings(names, targets),
        *(Notice(*one) for one in task.family.notices(targets)),
    ]
    if bad.count * 10 > intake.read:
        found.append(Notice("data.many_bad", {"bad": bad.count, "read": intake.read}))
    if decision.near_test:
        found.append(Notice("splits.near_test", {"rows": decision.near_test}))
    if decision.near_out:
        found.append(Notice("splits.near_out", {"rows": decision.near_out}))
    undecided = int((contents.label == UNDECIDED).sum())
    if undecided:
        found.append(Notice("data.undecided", {"rows": undecided}))
    if ids.renamed:
        found.append(Notice("data.repeated_ids", {"rows": ids.renamed}))
    return found + source_warnings(intake.sources)


def _targets(gathered: Gathered, decision: Decision) -> dict[str, dict[str, int]]:
    """Rows of each target, by split."""
    found: dict[str, dict[str, int]] = {}
    for number, split in enumerate(SPLITS):
        labels = decision.label[decision.keep & (decision.split == number)]
        codes, rows = np.unique(labels, return_counts=True)
        pairs = zip(codes.tolist(), rows.tolist(), strict=True)
        found[split] = {gathered.labels[code]: count for code, count in pairs}
    return found


def _differing(gathered: Gathered, contents: Contents) -> tuple[int, int]:
    """Contents of the previous version that came in with another label than theirs, which stays,
    and those of them that are test rows."""
    labels = np.frombuffer(gathered.rows.labels, np.int32)
    came = np.isin(np.frombuffer(gathered.rows.origins, np.int8), (NEW, RELABEL))
    stands = contents.label[contents.of_row]
    differs = came & contents.old[contents.of_row] & (stands >= 0) & (labels != stands)
    found = np.unique(contents.of_row[differs])
    return len(found), int((contents.split[found] == _TEST).sum())


def _staying(rows: int, test: int) -> list[Notice]:
    return [Notice("formats.labels_stay", {"rows": rows, "test": test})] if rows else []
