"""Adding: sources become the next data version, and what was read is noted beside it.

A high-water mark and the watched files that were taken stand in the catalog's settings. They are
written in the transaction that adds the version: a kill leaves both or neither.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, cast

from feilun.data.clean.mending import Mending
from feilun.data.sources.base import AS_FOUND, Held, ReadOptions, Source
from feilun.data.sources.sql import shown
from feilun.data.versions import build
from feilun.errors import Conflict, InvalidData, UsageError
from feilun.project.advice import after_adding, command
from feilun.project.corpus import place
from feilun.project.results import Added
from feilun.project.scope import Scope
from feilun.store.sql_since import Since
from feilun.store.vault import vault_file
from feilun.types import Progress, Split

__all__ = ["Mark", "add", "open_mark"]


@dataclass(frozen=True, slots=True)
class Mark:
    """A high-water mark as it stands before a reading: `key` is its place in the catalog, `kept`
    what stands there (None at the first reading), `since` what the reading moves."""

    key: str
    query: str
    since: Since
    kept: Mapping[str, Any] | None

    @property
    def columns(self) -> Mapping[str, str]:
        """The roles of the first reading: three new rows are not enough to guess them again."""
        return self.kept["roles"] if self.kept else {}

    def note(self, roles: Mapping[str, str]) -> dict[str, Any]:
        """What to keep after the reading; nothing where no row was ever read."""
        value = self.since.to_json()
        if value is None:
            return {}
        return {
            self.key: {
                "column": self.since.column,
                "query": self.query,
                "mark": value,
                "roles": dict(roles or self.columns),
            }
        }


def open_mark(
    scope: Scope, url: str, query: str, column: str, name: str = "", restart: bool = False
) -> Mark:
    """The mark of `url` (and `name`, where one database has several). Raises `Conflict` when it
    belongs to another query or column, unless `restart` forgets it."""
    place = sha256(f"{_without_secret(url)}\0{name}".encode()).hexdigest()[:32]
    key = f"since:{scope.name}:{place}"
    kept = None if restart else scope.store.catalog.setting(key)
    plain = " ".join(query.split())
    if kept is not None and (kept["query"], kept["column"]) != (plain, column):
        old = Since(kept["column"], kept["mark"])
        raise Conflict(
            "sources.since_changed",
            value=f"{old.column} = {old.value}",
            url=shown(url),
            query=kept["query"],
        )
    return Mark(key, plain, Since(column, kept and kept["mark"]), kept)


def _without_secret(url: str) -> str:
    """The URL without who asks: a new password is no new source."""
    scheme, _, rest = url.partition("://")
    head, at, tail = rest.partition("@")
    return f"{scheme}://{tail}" if at and "/" not in head else url


def add(
    scope: Scope,
    sources: Sequence[Any],
    *,
    columns: Mapping[str, str] | None,
    split: str,
    query: str | None,
    since: str | None,
    mark: str | None,
    restart: bool,
    report: Callable[[Progress], None] | None,
    drop_last: int,
    exclude: set[bytes] | None,
    keep: Mapping[str, Any] | None = None,
    read: ReadOptions = AS_FOUND,
    relabel: bool = False,
    append: bool = False,
) -> Added:
    """See `Project.add`. `keep` are settings of the catalog that come to stand with the version,
    also where the sources held nothing new."""
    if split not in ("auto", "train", "validation", "test"):
        raise UsageError("project.bad_split", split=split)
    if not sources:
        raise UsageError("project.no_sources")
    if since and (not query or len(sources) != 1 or "://" not in str(Held.place(sources[0]))):
        raise UsageError("sources.since_needs_query")
    if (restart or mark) and not since:
        raise UsageError("sources.since_needed")
    if append and since:  # rows at the mark are read twice
        raise UsageError("formats.append_since")
    if append and not scope.task.observations:
        raise UsageError("formats.append_tables", task=scope.task.name)
    config = scope.config()
    with scope.store.lock(scope.name):
        opened = None
        if since:
            opened = open_mark(scope, str(sources[0]), str(query), since, mark or "", restart)
        given = {**config.data.columns, **(opened.columns if opened else {}), **(columns or {})}
        options = read.options(query, opened.since if opened else None)
        places = [place(scope, one) for one in sources]
        listed = [Source(one, options, given, drop_last=drop_last) for one in places]

        def build_from(taken: Sequence[Source]) -> Added:
            added = _build(
                scope,
                taken,
                split,
                report or (lambda _: None),
                exclude,
                opened,
                keep or {},
                relabel=relabel,
                append=append,
            )
            if query:
                return added
            again = partial(_again, scope, sources, split, columns or {}, read)
            return dataclasses.replace(
                added,
                relabel=again("relabel") if added.report["differing"] else None,
                append=again("append") if added.report["matched"] else None,
            )

        try:
            return build_from(listed)
        except InvalidData as error:
            # Whoever deleted the row at the mark left nothing to read: that is no failure.
            if opened is None or opened.kept is None or error.code != "data.no_rows":
                raise
            return build_from(())


def _build(
    scope: Scope,
    listed: Sequence[Source],
    split: str,
    report: Callable[[Progress], None],
    exclude: set[bytes] | None,
    mark: Mark | None,
    keep: Mapping[str, Any],
    *,
    relabel: bool = False,
    append: bool = False,
) -> Added:
    config, store = scope.config(), scope.store
    context = scope.context()
    previous = store.catalog.latest_data(scope.name)
    out = store.artifacts.new()
    try:
        built = build(
            listed,
            task=scope.task,
            settings=config.data,
            task_settings=context.task_settings(),
            previous=context.dataset(previous) if previous else None,
            out=out,
            split=cast("Split", split),
            report=report,
            exclude=exclude or frozenset(),
            bad_rows=scope.file.parent / "bad_rows.jsonl",
            new_label_rows=config.update.new_label_rows,
            relabel=relabel,
            append=append,
            mending=Mending(vault=vault_file(store.folder, scope.name)),
        )
        details = built.to_json()
        details.pop("out")
        roles: Mapping[str, Any] = details["sources"][0]["roles"] or {} if listed else {}
        settings = {**keep, **(mark.note(_columns(roles)) if mark else {})}
        if previous is not None and not built.changed:
            for key, value in settings.items():
                store.catalog.set_setting(key, value)
            return Added(previous.id, unchanged=True, report=details, _family=scope.task.family)
        ref = store.publish(out, "data").ref
    finally:
        shutil.rmtree(out, ignore_errors=True)
    version = store.catalog.add_data_version(
        scope.name,
        ref,
        "add",
        parent=previous.id if previous else None,
        counts=details["counts"],
        roles=roles,
        info=details,
        settings=settings,
    )
    following = after_adding(store, scope.name, version)
    return Added(version.id, False, details, next=following, _family=scope.task.family)


def _columns(roles: Mapping[str, Any]) -> dict[str, str]:
    """Roles as a reading found them, in the form in which they are given."""
    others = ("label", "id", "group", "subject")
    return {**roles.get("inputs", {}), **{o: roles[o] for o in others if roles.get(o)}}


def _again(
    scope: Scope,
    sources: Sequence[Any],
    split: str,
    columns: Mapping[str, str],
    read: ReadOptions,
    option: str,
) -> str:
    """What adds the same files, or rows at hand, with another `option`."""
    places = [Held.place(source) for source in sources]
    if any(isinstance(place, Held) for place in places):
        return f"project.add({', '.join(map(str, places))}, ..., {option}=True)"
    words = ["data", "add", *map(str, places)]
    words += [] if split == "auto" else ["--split", split]
    for role, column in columns.items():
        words += ["--map", f"{role}={column}"]
    for name, value in dataclasses.asdict(read).items():
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return command(scope.store, scope.name, [*words, f"--{option}"])
