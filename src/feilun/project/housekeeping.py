"""What stands where in a workspace: versions that stay, settings in force, processes, the disk."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from feilun.config import ProjectConfig
from feilun.messages import Language, language, t
from feilun.project.results import Listing, size
from feilun.project.scope import Scope, WorkspaceScope
from feilun.project.status import run_state
from feilun.store.gc import dispensable
from feilun.store.records import ModelVersion
from feilun.table import Moment, Table

__all__ = ["chinese_settings", "house", "meaning", "settings_in_force", "versions_kept"]


def versions_kept(scope: WorkspaceScope, keep: int) -> Listing:
    """Every version with its bytes and whether ``gc`` with `keep` would give it up."""
    store = scope.store
    going = dispensable(store, keep)
    bytes_of = {one.ref: one.bytes for one in store.catalog.artifacts()}
    rows: list[dict[str, Any]] = [
        {
            "project": project.called,
            "version": one.id,
            "state": one.state,
            "bytes": sum(bytes_of.get(ref, 0) for ref in _refs(one)),
            "fate": "gone" if one.pruned else "goes" if one.id in going else "stays",
        }
        for project in scope.projects()
        for one in reversed(store.catalog.model_versions(project.name))
    ]
    words = [
        [
            row["version"],
            t(f"project.state_{row['state']}"),
            size(row["bytes"]),
            t(f"house.{row['fate']}"),
        ]
        for row in rows
    ]
    columns = [t(f"house.{name}") for name in ("version", "state", "size", "fate")]
    notes = [t("house.keeps", keep=keep)]
    return Listing(rows, Table(t("house.versions"), columns if rows else (), words, notes))


def _refs(version: ModelVersion) -> set[str]:
    variants = (version.artifact(name) for name in version.variants)
    return {ref for ref in (version.weights, version.report, *variants) if ref}


def house(scope: WorkspaceScope) -> Listing:
    """The processes that serve and work now, the disk, the databases and the last backup."""
    store = scope.store
    rows: list[dict[str, Any]] = [
        {"what": "server", "detail": f"{one.address} ({one.machine}, {one.pid})"}
        for one in store.catalog.servers()
    ]
    for run in store.catalog.runs(states=("queued", "running")):
        state = run_state(store, run)["state"]
        said = t(f"console.state_{state}") + (f" ({run.pid})" if run.pid else "")
        rows.append({"what": "run", "detail": run.id, "state": said})
    disk = shutil.disk_usage(store.folder)
    free = t("house.free", free=size(disk.free), total=size(disk.total))
    rows.append({"what": "disk", "detail": free})
    published = sum(one.bytes for one in store.catalog.artifacts())
    rows.append({"what": "artifacts", "detail": size(published)})
    for name, database in store.databases.items():
        rows.append({"what": "database", "detail": f"{name}: {database.shown()}"})
    last = next(iter(store.catalog.acts(1, action="backup.make")), None)
    if last is None:
        rows.append({"what": "backup", "detail": t("house.no_backup")})
    else:
        rows.append({"what": "backup", "detail": last.subject, "state": Moment(last.at)})
    words = [[t(f"house.{row['what']}"), row["detail"], row.get("state", "")] for row in rows]
    return Listing(rows, Table(t("house.house"), ["", "", ""], words))


def settings_in_force(scope: Scope) -> Sequence[Table]:
    """Each table of the project's settings: what is set, what it means."""
    config = scope.config()
    columns = [t(f"house.{name}") for name in ("setting", "value", "default", "meaning")]
    found = []
    for name, model, own in _sections(config):
        rows = [
            [
                setting,
                _said(getattr(own, setting)),
                "–" if field.is_required() else _said(field.get_default(call_default_factory=True)),
                meaning(field.description or ""),
            ]
            for setting, field in model.model_fields.items()
            if not isinstance(getattr(own, setting), BaseModel)
        ]
        if rows:
            found.append(Table(f"[{name}]", columns, rows))
    return found


def _sections(config: ProjectConfig) -> Iterator[tuple[str, type[BaseModel], BaseModel]]:
    for name in ProjectConfig.model_fields:
        own = getattr(config, name)
        if not isinstance(own, BaseModel):
            continue
        yield name, type(own), own
        for inner in type(own).model_fields:
            nested = getattr(own, inner)
            if isinstance(nested, BaseModel):
                yield f"{name}.{inner}", type(nested), nested


def _said(value: Any) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(map(str, value)) or "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {one}" for name, one in value.items()) or "–"
    return str(value)


@cache
def chinese_settings() -> Mapping[str, str]:
    """The Chinese of each setting's description, by its English."""
    text = (Path(__file__).parent / "settings_zh.toml").read_text("utf-8")
    words: dict[str, str] = tomllib.loads(text)
    return words


def meaning(description: str, lang: Language | None = None) -> str:
    """A setting's description in `lang` (default: the one in force); in English where its Chinese
    is missing."""
    wanted = lang or language()
    return chinese_settings().get(description, description) if wanted == "zh" else description
