"""Erasing a person: rows in every data version, kept calls, feedback, pages that quote them.

What is charged stays, and so do model versions: what was learnt cannot be taken out of weights, so
they are listed, with how many of the rows each has learnt from. The selection is written down
first, in a file that only the owner reads, and deleted at the end: what a killed process left, the
next `feilun erase` or a worker finishes. The audit log tells how much was erased and bears a
commitment to what: only who has the receipt can show that it was this person.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from feilun.data.erasure import Found, Selection, forms, search_rows, without
from feilun.errors import NotFound
from feilun.messages import t
from feilun.project.corpus import Corpus, corpora, replace_rows
from feilun.project.preference import forget_pairs
from feilun.project.scope import Scope, WorkspaceScope
from feilun.project.voting import forget_votes
from feilun.store.catalog_audit import acting, actor
from feilun.store.columns import dump_json
from feilun.store.dataset import Dataset
from feilun.store.files import write_atomically
from feilun.store.records import DataVersion
from feilun.store.vault import Vault, vault_file
from feilun.table import Result, Table

__all__ = ["Erased", "erase", "pending", "receipt_fits", "write_down"]

_FOLDER = "erasures"
_PAGES = ("audit", "reports", "logs")
_TEXTS = (".json", ".jsonl", ".html", ".csv", ".txt", ".toml", ".md", ".log")
_WHOLE = 8  # characters from which equal inputs are the same person's, not any "ok"
_MOST = 64 << 20  # bytes of a file that is looked into


@dataclass(frozen=True)
class Erased(Result):
    """What was erased, or with `dry_run` would be. `data` has an entry a data version that held
    rows (``version``, ``train``, ``validation``, ``test``), `models` one a model version that
    learnt from them (``version``, ``data``, ``rows``, ``state``, ``quotes``: whether files of it
    hold what was erased). `act` is the number in the audit log, `receipt` what proves with it whom
    it was about."""

    dry_run: bool
    projects: Sequence[str]
    data: Sequence[Mapping[str, Any]] = ()
    calls: int = 0
    feedback: int = 0
    files: int = 0
    models: Sequence[Mapping[str, Any]] = ()
    act: int | None = None
    receipt: str = ""

    @property
    def rows(self) -> int:
        """The most rows that one data version held."""
        return max((sum(one[s] for s in _SPLITS) for one in self.data), default=0)

    def tables(self) -> Sequence[Table]:
        notes = [t("erase.calls", calls=f"{self.calls:,}", feedback=f"{self.feedback:,}")]
        if self.files:
            notes.append(t("erase.files", count=f"{self.files:,}"))
        nothing = not (self.data or self.calls or self.feedback or self.files)
        if nothing:
            return (Table(t("erase.nothing"), (), (), [t("erase.nothing_hint")]),)
        rows = [[one["version"], *(f"{one[split]:,}" for split in _SPLITS)] for one in self.data]
        columns = [t("erase.data"), *(t(f"project.split_{split}") for split in _SPLITS)]
        found = [
            Table(
                t("erase.would" if self.dry_run else "erase.done"),
                columns if rows else (),
                rows,
                notes,
            )
        ]
        if self.models:
            words = [
                [
                    one["version"],
                    one["data"],
                    f"{one['rows']:,}",
                    t(f"console.version_{one['state']}"),
                    t("erase.quotes") if one["quotes"] else "",
                ]
                for one in self.models
            ]
            head = [t(f"erase.{name}") for name in ("model", "data", "learnt", "state", "holds")]
            found.append(Table(t("erase.models"), head, words, [t("erase.models_hint")]))
        last = [t("erase.stays")]
        if self.act is not None:
            last.append(t("erase.proof", act=self.act, receipt=self.receipt))
        if self.dry_run:
            last.append(t("erase.how"))
        return (*found, Table("", (), (), last))


_SPLITS = ("train", "validation", "test")


def write_down(
    scope: WorkspaceScope, chosen: Selection, project: str | None, *, keep_out: bool = True
) -> str:
    """Keeps what is to be erased until it is; its token. Raises `NotFound` for no project."""
    names = [one.name for one in _projects(scope, project)]
    token = secrets.token_hex(8)
    folder = scope.store.folder / _FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    order = {
        "selection": chosen.to_json(),
        "projects": names,
        "keep_out": keep_out,
        "salt": secrets.token_hex(16),
        "since": time.time(),
        "actor": actor(),
    }
    write_atomically(folder / f"{token}.json", dump_json(order).encode(), mode=0o600)
    return token


def pending(scope: WorkspaceScope) -> dict[str, Mapping[str, Any]]:
    """What is to be erased and is not yet, by token, the oldest first."""
    found = {}
    for file in (scope.store.folder / _FOLDER).glob("*.json"):
        found[file.stem] = json.loads(file.read_bytes())
    return dict(sorted(found.items(), key=lambda one: float(one[1]["since"])))


def erase(
    scope: WorkspaceScope,
    chosen: Selection,
    project: str | None = None,
    *,
    dry_run: bool = False,
    keep_out: bool = True,
) -> Erased:
    """See `Workspace.erase`."""
    if dry_run:
        plans = [_plan(one, chosen) for one in _projects(scope, project)]
        return _result(plans, dry_run=True)
    return finish(scope, write_down(scope, chosen, project, keep_out=keep_out))


def finish(scope: WorkspaceScope, token: str) -> Erased:
    """Erases what was written down under `token`, from where a killed process left it."""
    if token not in pending(scope):
        raise NotFound("erase.no_order", token=token)
    file = scope.store.folder / _FOLDER / f"{token}.json"
    order = json.loads(file.read_bytes())
    chosen = Selection(**{name: tuple(v) for name, v in order["selection"].items()})
    plans: dict[str, Any] = order.setdefault("plans", {})
    for name in order["projects"]:
        at = scope.at(name)
        with scope.store.lock(name):
            if name not in plans:  # before anything is gone: what is told in the end
                plans[name] = _plan(at, chosen)
                write_atomically(file, dump_json(order).encode(), mode=0o600)
            _carry_out(at, chosen, keep_out=order["keep_out"])
    made = _result(list(plans.values()), dry_run=False)
    receipt = f"{token}.{order['salt']}"
    detail = {
        "commitment": _commitment(receipt, chosen),
        "by": sorted(name for name, values in order["selection"].items() if values),
        "data": list(made.data),
        "calls": made.calls,
        "feedback": made.feedback,
        "files": made.files,
        "models": [one["version"] for one in made.models],
    }
    with acting(order["actor"]):  # who asked for it, whoever finishes it
        act = scope.store.catalog.note("person.erase", ", ".join(order["projects"]), detail)
    file.unlink()
    return _result(list(plans.values()), dry_run=False, act=act, receipt=receipt)


def receipt_fits(detail: Mapping[str, Any], receipt: str, chosen: Selection) -> bool:
    """Whether an act of the audit log with this `detail` erased what `chosen` means."""
    return bool(detail.get("commitment") == _commitment(receipt, chosen))


def _commitment(receipt: str, chosen: Selection) -> str:
    return hashlib.sha256(f"{receipt}\0{dump_json(chosen.to_json())}".encode()).hexdigest()


def _projects(scope: WorkspaceScope, project: str | None) -> list[Scope]:
    if project is not None:
        return [scope.project(project)]
    return [scope.at(one.name) for one in scope.store.catalog.projects()]


def _result(plans: Sequence[Mapping[str, Any]], **more: Any) -> Erased:
    return Erased(
        projects=[plan["project"] for plan in plans],
        data=[one for plan in plans for one in plan["data"]],
        calls=sum(len({id_ for id_, _ in plan["answers"]}) for plan in plans),
        feedback=sum(plan["feedback"] for plan in plans),
        files=sum(len(plan["files"]) for plan in plans),
        models=[one for plan in plans for one in plan["models"]],
        **more,
    )


@dataclass
class _Meant:
    """What is looked for in one project: the selection with its pseudonyms, and by data artifact
    the rows found."""

    chosen: Selection
    letters: list[str] = field(default_factory=list)
    rows: dict[str, Found] = field(default_factory=dict)
    inputs: set[str] = field(default_factory=set)

    def hits(self, text: str) -> bool:
        """Whether JSON or plain `text` holds any of it."""
        folded = text.casefold()
        return any(one in folded for one in self.chosen.needles()) or text in self.inputs


def _meant(at: Scope, chosen: Selection) -> _Meant:
    """Looks into every data version of the project."""
    file, letters = vault_file(at.store.folder, at.name), []
    if file.is_file() and chosen.texts:
        vault = Vault(file)
        letters = vault.about(chosen.texts)
        vault.close()
    whole = Selection((*chosen.texts, *letters), chosen.rows, chosen.subjects, chosen.calls)
    meant = _Meant(whole, letters)
    for artifact in (one.artifact for one in _holders(at)):
        if artifact not in meant.rows:
            found = search_rows(Dataset(at.store.artifacts.path(artifact)), whole)
            meant.rows[artifact] = found
            # The same words in the call log are the same person's.
            meant.inputs |= {dump_json(one) for one in found.inputs if len(one) >= _WHOLE}
    return meant


def _holders(at: Scope) -> list[DataVersion | Corpus]:
    """What holds rows of the project: its data versions and its corpora."""
    return [*at.store.catalog.data_versions(at.name), *corpora(at)]


def _plan(at: Scope, chosen: Selection) -> dict[str, Any]:
    """What would be erased of one project, as JSON without any of it."""
    meant, catalog = _meant(at, chosen), at.store.catalog
    versions = catalog.data_versions(at.name)
    data = [
        {"version": one.id, **{s: meant.rows[one.artifact].splits[s] for s in _SPLITS}}
        for one in _holders(at)
        if meant.rows[one.artifact].ids
    ]
    answers = at.store.ledger.answers_about(at.name, meant.hits, frozenset(chosen.calls))
    feedback = sum(len(at.store.ledger.feedback_of(*one)) for one in answers)
    return {
        "project": at.name,
        "data": data,
        "answers": answers,
        "feedback": feedback,
        "files": [str(file) for file in _quoting(at, meant)],
        "models": list(_models(at, meant, versions)),
    }


def _models(at: Scope, meant: _Meant, versions: Sequence[DataVersion]) -> Any:
    """The model versions that learnt from the rows, and those that grew from these."""
    rows = {one.id: meant.rows[one.artifact].splits["train"] for one in versions}
    learnt: dict[str, int] = {}
    for model in at.store.catalog.model_versions(at.name):
        count = rows.get(model.data_version or "", 0) or learnt.get(model.parent or "", 0)
        if not count:
            continue
        learnt[model.id] = count
        found = [model.weights, *(one.get("artifact") for one in model.variants.values())]
        weights = [ref for ref in found if ref]
        yield {
            "version": model.id,
            "data": model.data_version or "–",
            "rows": count,
            "state": model.state,
            "quotes": model.pruned is None and any(_quotes(at, ref, meant) for ref in weights),
        }


def _quotes(at: Scope, ref: str, meant: _Meant) -> bool:
    """Whether texts among the files of an artifact hold any of it."""
    artifacts = at.store.artifacts
    return artifacts.exists(ref) and any(True for _ in _files_with(artifacts.path(ref), meant))


def _quoting(at: Scope, meant: _Meant) -> Any:
    """Pages and lists in the project's folder that hold any of it."""
    folder = at.file.parent
    for name in _PAGES:
        yield from _files_with(folder / name, meant)
    yield from _files_with(folder / "bad_rows.jsonl", meant)


def _files_with(place: Path, meant: _Meant) -> Any:
    inputs = {form for one in meant.inputs for form in forms(json.loads(one))}
    needles = [*meant.chosen.needles(), *inputs]
    files = [place] if place.is_file() else sorted(place.rglob("*")) if place.is_dir() else []
    for file in files:
        if file.suffix in _TEXTS and file.is_file() and file.stat().st_size <= _MOST:
            text = file.read_text("utf-8", "replace").casefold()
            if any(one in text for one in needles):
                yield file


def _carry_out(at: Scope, chosen: Selection, *, keep_out: bool) -> None:
    """Erases, in an order in which what is gone is found no more: a second call goes on."""
    meant, store = _meant(at, chosen), at.store
    for file in list(_quoting(at, meant)):
        file.unlink(missing_ok=True)
    store.ledger.erase_answers(
        store.ledger.answers_about(at.name, meant.hits, frozenset(chosen.calls))
    )
    change = _redactor(meant)
    store.catalog.rewrite_runs(at.name, change)
    held, begun = store.catalog.references(), time.time()
    for model in store.catalog.model_versions(at.name):
        decisions = model.metrics.get("decisions", ())
        reports = {model.report, *(one["report"] for one in decisions)} - {None}
        quoting = {ref for ref in reports if _quotes(at, ref, meant)}
        if quoting:
            left = [one for one in decisions if one["report"] not in quoting]
            store.catalog.update_model_version(
                model.id,
                report=None if model.report in quoting else model.report,
                metrics={**model.metrics, "decisions": left},
            )
    replaced = {artifact for artifact, found in meant.rows.items() if found.ids}
    for artifact in sorted(replaced):
        found = meant.rows[artifact]
        out = store.artifacts.new()
        try:
            data = Dataset(store.artifacts.path(artifact))
            counts = without(data, meant.chosen, out, found.keys if keep_out else set())
            ref = store.publish(out, "data").ref
        finally:
            shutil.rmtree(out, ignore_errors=True)
        replaced -= {ref}  # another version was like this all along
        store.catalog.replace_data(artifact, ref, dict(counts), change)
        replace_rows(at, artifact, ref, sum(n for one in counts.values() for n in one.values()))
        forget_votes(at, found.ids)
    quoted = frozenset(row for found in meant.rows.values() for row in found.ids)
    forget_pairs(at, quoted, meant.hits)
    if meant.letters:
        vault = Vault(vault_file(store.folder, at.name))
        vault.forget(meant.letters)
        vault.close()
    with store.artifacts.locked():
        # A run that failed may still name what was replaced; it has to begin anew.
        gone = (held - store.catalog.references()) | replaced
        store.artifacts.gc(store.artifacts.refs() - gone, published_before=begun)
        store.catalog.forget_artifacts(ref for ref in gone if not store.artifacts.exists(ref))


def _redactor(meant: _Meant) -> Callable[[Any], Any]:
    def change(value: Any) -> Any:
        if isinstance(value, str):
            return "–" if meant.hits(value) or dump_json(value) in meant.inputs else value
        if isinstance(value, Mapping):
            return {name: change(one) for name, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [change(one) for one in value]
        return value

    return change
