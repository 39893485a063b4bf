"""Cleaning the latest data version, and going back to an earlier one."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feilun.data.clean.mending import Mending, remembered
from feilun.data.clean.named import Named, read_named
from feilun.data.clean.recipe import Cleaning, cleaning, read_recipe, to_toml
from feilun.data.outcome import BuildReport
from feilun.data.personal import KINDS
from feilun.data.versions import build
from feilun.errors import InvalidData, NotFound
from feilun.messages import has, t
from feilun.project.advice import next_turn
from feilun.project.results import Listing, going_on
from feilun.project.scope import Scope
from feilun.store.records import DataVersion
from feilun.store.vault import vault_file
from feilun.table import Result, Table
from feilun.types import Progress

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = ["Cleaned", "Used", "clean", "recipe", "recipe_toml", "to_do", "use"]

_OWN = ("run", "feedback", "corrections", "changed", "trust", "used", "marks", "since")
"""What a data version's info says of how it came about, which is not true of one that is equal."""


@dataclass(frozen=True)
class Cleaned(Result):
    """What a cleaning changed, or with `dry_run` would change. `version` is the new data version
    (None in a dry run), `parent` the one before. `steps` carry ``step``, ``rows``, ``test`` (rows
    of the test split among them), ``by`` and ``examples``."""

    version: str | None
    parent: str
    dry_run: bool
    rows_before: int
    rows: int
    steps: Sequence[Mapping[str, Any]]
    counts: Mapping[str, Mapping[str, int]]
    notes: Sequence[str]
    next: str = ""

    def tables(self) -> Sequence[Table]:
        title = t("clean.would" if self.dry_run else "clean.done", **self._names())
        columns = [t(f"clean.{name}") for name in ("step", "rows", "of_test", "details")]
        rows = [
            [
                t(f"clean.name_{step['step']}"),
                f"{step['rows']:,}",
                f"{step['test']:,}",
                ", ".join(f"{what} {count:,}" for what, count in step["by"].items()),
            ]
            for step in self.steps
        ]
        size = t("clean.rows_before_after", before=self.rows_before, after=self.rows)
        found: list[Table] = [
            Table(title, columns if rows else (), rows, [size, *self.notes]),
        ]
        examples = [
            [
                t(f"clean.name_{step['step']}"),
                before,
                t("clean.dropped") if after is None else after,
            ]
            for step in self.steps
            for before, after in step.get("examples", ())
        ]
        if examples:
            head = [t(f"clean.{name}") for name in ("step", "before", "after")]
            found.append(Table("", head, examples))
        if self.next:
            found.append(Table("", (), (), going_on(self.next)))
        return found

    def _names(self) -> dict[str, Any]:
        return {"version": self.version, "parent": self.parent}


@dataclass(frozen=True)
class Used(Result):
    """An earlier data version that is the latest again, under the new name `version`."""

    version: str
    target: str
    unchanged: bool
    counts: Mapping[str, Mapping[str, int]]
    notes: Sequence[str]

    def tables(self) -> Sequence[Table]:
        key = "clean.same_already" if self.unchanged else "clean.used"
        columns = [t("project.split"), t("project.rows")]
        rows = [
            [t(f"project.split_{split}"), f"{sum(labels.values()):,}"]
            for split, labels in self.counts.items()
        ]
        title = t(key, version=self.version, target=self.target)
        return (Table(title, columns, rows, self.notes),)


def clean(
    scope: Scope,
    *,
    recipe: str | Path | None = None,
    dry_run: bool = False,
    forget_recipe: bool = False,
    report: Callable[[Progress], None] | None = None,
    **steps: Any,
) -> Cleaned:
    """Cleans the latest data version; `Project.clean` says how."""
    passes = read_recipe(Path(recipe)) if recipe is not None else []
    given = {name: value for name, value in steps.items() if value}
    if given.get("mask") == "all" or "all" in given.get("mask", ()):
        given["mask"] = KINDS
    if given or not (passes or forget_recipe):
        passes.append(cleaning(**given))
    named = _named(scope, passes)
    config, store = scope.config(), scope.store
    context = scope.context()
    mending = Mending(
        passes,
        named=named,
        forget=forget_recipe,
        vault=vault_file(store.folder, scope.name),
        passing=dry_run,
    )
    with store.lock(scope.name):
        parent = scope.data()
        out = store.artifacts.new()
        try:
            built = build(
                [],
                task=scope.task,
                settings=config.data,
                task_settings=context.task_settings(),
                previous=context.dataset(parent),
                out=out,
                report=report,
                new_label_rows=config.update.new_label_rows,
                mending=mending,
            )
            notes = _notes(scope, parent, built, mending, dry_run)
            if dry_run:
                return _cleaned(None, parent, built, notes)
            ref = store.publish(out, "data").ref
        finally:
            shutil.rmtree(out, ignore_errors=True)
        details = built.to_json()
        details.pop("out")
        version = store.catalog.add_data_version(
            scope.name,
            ref,
            "clean",
            parent=parent.id,
            counts=details["counts"],
            roles=parent.roles,
            info={**details, "bad": parent.info.get("bad", 0)},
        )
    following = next_turn(store, scope.name, version)
    return replace(_cleaned(version.id, parent, built, notes), next=following)


def _named(scope: Scope, passes: Sequence[Cleaning]) -> Named:
    """What the files of all passes name together."""
    labels: dict[str, str] = {}
    dropped: dict[str, str] = {}
    for one in passes:
        named = read_named(scope.task, one.relabel, one.drop_rows)
        labels |= named.labels
        dropped |= named.dropped
    return Named(labels, dropped)


def _notes(
    scope: Scope, parent: DataVersion, built: BuildReport, mending: Mending, dry_run: bool
) -> list[str]:
    notes = []
    named, missing = len(mending.named.ids), mending.missing
    if missing:
        shown = list(missing[:3])
        if len(missing) == named:
            raise InvalidData("clean.none_found", count=named, version=parent.id, examples=shown)
        notes.append(t("clean.not_found", count=len(missing), version=parent.id, examples=shown))
    if not built.mended:
        notes.append(t("clean.nothing_changed"))
    before, after = _size(parent.counts, "test"), _size(built.counts, "test")
    # A label that is only called otherwise is the same label.
    changing = [step for step in built.mended if step.step != "rename_labels"]
    changed = sum(step.test - step.test_dropped for step in changing)
    if before != after or changed:
        notes.append(t("clean.test_changed", dropped=before - after, changed=changed))
    masked = any(step.step == "mask" for step in built.mended)
    if masked:
        versions = scope.store.catalog.data_versions(scope.name)
        notes.append(t("clean.earlier_hold", versions=[v.id for v in versions]))
    if masked and any(row.get("reversible") for row in built.recipe) and not dry_run:
        file = vault_file(scope.store.folder, scope.name)
        notes.append(t("clean.vault_at", file=file))
    return notes + [warning.text() for warning in built.warnings]


def _size(counts: Mapping[str, Mapping[str, int]], split: str) -> int:
    return sum(counts.get(split, {}).values())


def _cleaned(
    version: str | None, parent: DataVersion, built: BuildReport, notes: Sequence[str]
) -> Cleaned:
    steps = [
        {**step.to_json(), "examples": [list(pair) for pair in step.examples]}
        if version is None
        else step.to_json()
        for step in built.mended
    ]
    before = sum(_size(parent.counts, split) for split in parent.counts)
    return Cleaned(
        version, parent.id, version is None, before, built.rows, steps, built.counts, notes
    )


def recipe(scope: Scope) -> Listing:
    """The recipe of the latest data version: `rows` one object a cleaning."""
    data = scope.data()
    listed: list[dict[str, Any]] = [dict(row) for row in data.info.get("recipe", ())]
    rows = [
        [str(place), t(f"clean.name_{name}"), _value(value)]
        for place, row in enumerate(listed, 1)
        for name, value in row.items()
        if name not in ("reversible", "vault")
    ]
    notes = []
    if count := remembered(scope.context().dataset(data).folder):
        notes.append(t("clean.remembered", count=count))
    key = "clean.recipe_of" if rows else "clean.no_recipe"
    columns = [t(f"clean.{name}") for name in ("place", "step", "value")]
    return Listing(listed, Table(t(key, version=data.id), columns if rows else (), rows, notes))


def to_do(steps: Mapping[str, Any]) -> str:
    """What a cleaning of these steps is going to do, as a button says it."""
    said = []
    for name, value in steps.items():
        key = f"clean.do_{name}_{value}"
        if isinstance(value, list):
            value = [t(f"clean.kind_{one}") if has(f"clean.kind_{one}") else one for one in value]
        shown = value if isinstance(value, list) else _value(value)
        said.append(t(key if has(key) else f"clean.do_{name}", value=shown))
    return "; ".join(said)


def recipe_toml(scope: Scope) -> str:
    """The recipe as a file that ``--recipe`` reads."""
    rows = [
        {
            name: value
            for name, value in row.items()
            if name not in ("vault", "relabel", "drop_rows")
        }
        for row in scope.data().info.get("recipe", ())
    ]
    return to_toml([row for row in rows if row])


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{old} → {new}" for old, new in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "✓" if value is True else str(value)


def use(scope: Scope, name: str, *, relearn: bool = False) -> Used:
    """Makes an earlier data version the latest; `Project.use_data` says how."""
    catalog, ledger = scope.store.catalog, scope.store.ledger
    versions = catalog.data_versions(scope.name)
    if not versions:
        raise NotFound("project.no_data", project=scope.name)
    wanted = name if ":" in name else f"{scope.name}:{name}"
    target = next((version for version in versions if version.id == wanted), None)
    if target is None:
        options = [version.id for version in versions]
        raise NotFound("clean.no_version", name=name, options=options)
    with scope.store.lock(scope.name):
        latest = catalog.data_versions(scope.name)[-1]
        if latest.artifact == target.artifact:
            return Used(latest.id, target.id, True, latest.counts, ())
        info = {key: value for key, value in target.info.items() if key not in _OWN}
        version = catalog.add_data_version(
            scope.name,
            target.artifact,
            "use",
            parent=latest.id,
            counts=target.counts,
            roles=target.roles,
            info={**info, "used": target.id},
        )
        left = [v for v in versions if v.number > target.number and v.info.get("feedback")]
        pieces = [id_ for v in left for id_ in v.info["feedback"]]
        notes = []
        if pieces:
            if relearn:
                ledger.mark_used(pieces, None)
            key = "clean.corrections_back" if relearn else "clean.corrections_lost"
            notes.append(t(key, count=len(pieces), versions=[v.id for v in left]))
    return Used(version.id, target.id, False, version.counts, [*notes, t("clean.next_use")])
