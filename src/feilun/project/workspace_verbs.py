"""What can be done with a workspace as a whole: keys, usage, money, upkeep."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from feilun import messages
from feilun.billing.currency import exact_text
from feilun.billing.prices import UpstreamPrice, set_price, set_upstream_price
from feilun.config import Settings, load_settings
from feilun.errors import NotFound
from feilun.messages import t
from feilun.project.access import (
    NewApiKey,
    RotatedKey,
    create_key,
    held,
    holder,
    list_keys,
    rotate_key,
    working,
)
from feilun.project.acts import Acts
from feilun.project.advice import to_name
from feilun.project.health import Health, check
from feilun.project.results import Listing, size
from feilun.project.scope import Scope, WorkspaceScope
from feilun.project.status import Status, gather
from feilun.store import Store, open_store
from feilun.store.records import DEFAULT_SCOPES, ApiKey, Customer
from feilun.table import Table, to_jsonable

if TYPE_CHECKING:
    from feilun.project.calls import Calls, CallShown
    from feilun.project.customers import Customers
    from feilun.project.erasing import Erased
    from feilun.project.invoicing import Invoices
    from feilun.project.plans import Plans
    from feilun.project.tokenizers import TrainedTokenizer
    from feilun.types import Progress

__all__ = ["STATE", "WorkspaceVerbs"]

STATE = ".feilun"


class WorkspaceVerbs:
    """A folder and its open store; see `Workspace`."""

    def __init__(
        self,
        folder: Path | str | None = None,
        *,
        database: str | None = None,
        lang: messages.Language | None = None,
    ) -> None:
        self.settings: Settings = load_settings(workspace=folder, database=database, lang=lang)
        messages.use(self.settings.lang)
        self.folder = Path(self.settings.workspace).expanduser().resolve()
        self._store: Store | None = None

    @classmethod
    def over(cls, store: Store) -> Self:
        """The workspace of a store that is open already; closing it is up to whoever opened it."""
        workspace = cls(store.folder.parent)
        workspace._store = store
        return workspace

    @property
    def store(self) -> Store:
        """The catalog, ledger and artifacts; opened when first needed."""
        if self._store is None:
            self._store = open_store(
                self.folder / STATE,
                self.settings.database,
                self.settings.artifacts,
                durability=self.settings.durability,
            )
        return self._store

    @property
    def scope(self) -> WorkspaceScope:
        """What the verbs work on: the open store, the settings, the folder."""
        return WorkspaceScope(self.store, self.settings, self.folder)

    def close(self) -> None:
        """Lets go of the databases. Twice is harmless."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r})"

    def _repr_html_(self) -> str:
        return self.status()._repr_html_()

    # Keys and usage

    def create_key(
        self,
        customer: str,
        *,
        name: str = "",
        project: str | None = None,
        days: int | None = None,
        store_inputs: int | None = None,
        scopes: Sequence[str] = DEFAULT_SCOPES,
        limits: Mapping[str, Any] | None = None,
    ) -> NewApiKey:
        """A key for the customer of this name, who is noted when new. `project` limits it to one
        project, `days` to a time; `store_inputs` are the days that its inputs are kept; `scopes`
        are of ``predict``, ``feedback``, ``usage`` and ``admin``; `limits` as of `LimitSettings`.

        Raises `InvalidSettings` for scopes and limits that cannot be, before anything is written.
        """
        return create_key(
            self.store,
            customer,
            name=name,
            project=project,
            days=days,
            store_inputs=store_inputs,
            scopes=scopes,
            limits=limits,
        )

    def rotate_key(self, which: str, *, overlap: timedelta = timedelta(days=1)) -> RotatedKey:
        """A new key in place of `which` (a prefix or an id), which opens the same; the old one
        works for another `overlap`. Monthly limits of a key count by key, those of its customer for
        all its keys. Raises `NotFound`, and `Conflict` for a key that does not work
        any more or was rotated already."""
        return rotate_key(self.store, which, overlap)

    def keys(self) -> Listing:
        """All keys by their visible beginning, revoked and expired ones too."""
        return list_keys(self.store)

    def revoke_key(self, prefix: str) -> None:
        """The key of this visible beginning (or id) stops working. Raises `NotFound`, or
        `Conflict` when several begin so."""
        self.store.catalog.revoke_key(prefix)

    def holder(self, secret: str) -> Customer:
        """The customer whose key this is. Raises `Unauthorized` for none that works, `Forbidden`
        for one that does not open its customer's use."""
        return holder(self.store, secret)

    def held(self, secret: str) -> ApiKey:
        """The key of this secret. Raises as `holder` does."""
        return held(self.store, secret)

    def working_key(self, customer: str, id: str) -> ApiKey | None:
        """The customer's key of this id, None for one that works no more."""
        return working(self.store, customer, id)

    @property
    def acts(self) -> Acts:
        """The log of administrative acts."""
        return Acts(self.store)

    def usage(
        self,
        *,
        customer: str | None = None,
        project: str | None = None,
        days: int = 30,
        by: Sequence[Literal["customer", "project"]] = ("customer", "project"),
    ) -> Listing:
        """What was used in the last `days`, added up by customer and project, or by one of them:
        answers, amount, cost."""
        catalog = self.store.catalog
        names = {c.id: c.name for c in catalog.customers()}
        wanted = None
        if customer is not None:
            known = catalog.customer_named(customer)
            if known is None:
                raise NotFound("store.no_customer", id=customer)
            wanted = known.id
        since = datetime.now(UTC) - timedelta(days=days)
        project = catalog.known(project) if project is not None else None
        found = self.store.ledger.usage(customer=wanted, project=project, since=since, by=by)
        rows = [
            {
                **{
                    name: names.get(row.by[name], row.by[name])
                    if name == "customer"
                    else row.by[name]
                    for name in by
                },
                "calls": row.units.get("calls", 0),
                "inputs": row.units.get("inputs", 0),
                "amount": row.amount / 1e6,
                "cost": row.cost / 1e6,
                "currency": row.currency,
            }
            for row in found
        ]
        shown = [
            [
                *(str(r[name]) for name in by),
                f"{r['calls']:,}",
                f"{r['inputs']:,}",
                f"{exact_text(row.amount, row.currency)} {row.currency}",
                f"{exact_text(row.cost, row.currency)} {row.currency}",
            ]
            for r, row in zip(rows, found, strict=True)
        ]
        columns = [t(f"project.{c}") for c in (*by, "calls", "answers", "amount", "cost")]
        notes = []
        if rows and "customer" in by:
            line = shlex.join(["feilun", "invoice", "preview", str(rows[0]["customer"])])
            notes.append(t("project.usage_next", command=line))
        return Listing(rows, Table(t("project.usage", days=days), columns, shown, notes))

    def calls(
        self,
        *,
        customer: str | None = None,
        project: str | None = None,
        version: str | None = None,
        period: str | None = None,
        offset: int = 0,
        limit: int = 50,
    ) -> Calls:
        """The calls in the ledger, the newest first: of a `customer` (name or id), a `project`, a
        `version` (``reviews@3``), a `period` (a day or a month in UTC, ``2026-01-31``); at most
        `limit`, after the first `offset`. Raises `NotFound`, and `InvalidData` for no period."""
        from feilun.project.calls import calls

        return calls(
            self.scope,
            customer=customer,
            project=project,
            version=version,
            period=period,
            offset=offset,
            limit=limit,
        )

    def call(self, id: str, *, customer: str | None = None) -> CallShown:
        """One call: its events, the version and the rows behind it, its answers while they are
        kept. With `customer` (an id) only one of theirs, as the customer may see it. Raises
        `NotFound`."""
        from feilun.project.calls import call

        return call(self.scope, id, customer=customer)

    def correct(self, call: str, index: int, label: Any, *, customer: str, key: str) -> None:
        """Notes what a `customer` (an id) says by a `key` (an id) is right for input `index` of
        their `call`. Raises `NotFound` for a call of somebody else, `Gone` where the input is not
        kept, `InvalidData` for what cannot be an answer."""
        from feilun.feedback.collect import accept

        catalog, ledger = self.store.catalog, self.store.ledger
        accept(catalog, ledger, call, index, label, customer=customer, key_id=key)

    @property
    def invoices(self) -> Invoices:
        """Closing months, invoices, credits, re-ratings, and the ledger for other meters."""
        from feilun.project.invoicing import Invoices

        return Invoices(self.store)

    @property
    def plans(self) -> Plans:
        """Plans: setting a version, listing, showing."""
        from feilun.project.plans import Plans

        return Plans(self.store)

    @property
    def customers(self) -> Customers:
        """Customers: their plans, limits and details, and what they used this month."""
        from feilun.project.customers import Customers

        return Customers(self.store)

    # Keeping house

    def rename(self, project: str, name: str) -> Listing:
        """Calls a project `name` from now on: folder, settings file, and what callers may ask for.
        Its earlier names go on finding it; versions, the ledger and invoices keep the first. Raises
        `Conflict` where another project has or had that name, `AlreadyRunning` while it runs."""
        from feilun.project.whole import rename

        return rename(self.scope, project, name)

    def delete(self, project: str) -> Listing:
        """Deletes a project: data, versions, runs, the inputs that callers left. What was billed
        stays, with invoices and prices. Raises `Conflict` while something of it answers: `archive`
        ends that."""
        from feilun.project.whole import delete

        return delete(self.scope, project)

    def archive(self, project: str) -> Listing:
        """Puts a project away: it answers no more and is not listed. Data, versions, prices and
        what was billed stay; `unarchive` takes it back."""
        from feilun.project.whole import archive

        return archive(self.scope, project)

    def unarchive(self, project: str) -> Listing:
        """Takes an archived project back; nothing of it is live until it is deployed."""
        from feilun.project.whole import unarchive

        return unarchive(self.scope, project)

    def erase(
        self,
        *texts: str,
        rows: Sequence[str] = (),
        subjects: Sequence[str] = (),
        calls: Sequence[str] = (),
        project: str | None = None,
        dry_run: bool = False,
        keep_out: bool = True,
    ) -> Erased:
        """Erases a person, in `project` or in all: the rows in every data version that hold one of
        `texts` or are `rows` (ids) or of `subjects` (columns ``group`` and ``subject``), kept calls
        and feedback about them, `calls` by their ids, pages and reports that quote them. What was
        charged stays; model versions that learnt from the rows are listed. `keep_out` remembers
        hashes of the contents, so that they do not come in again with the same file. `dry_run` only
        tells. Raises `UsageError` for nothing to look for, `AlreadyRunning` while a project runs;
        what a killed process left, the next call of ``feilun worker`` finishes."""
        from feilun.data.erasure import Selection
        from feilun.project.erasing import erase

        chosen = Selection(tuple(texts), tuple(rows), tuple(subjects), tuple(calls))
        return erase(self.scope, chosen, project, dry_run=dry_run, keep_out=keep_out)

    def status(self, project: str | None = None) -> Status:
        """What is live, what is running and how far, which servers answer."""
        scope = self.scope
        found = [scope.project(project)] if project else scope.projects()
        return gather(self.store, self.folder, [one.name for one in found], _savings(found))

    def doctor(self) -> Health:
        """Checks the installation and the workspace."""
        return check(self.scope)

    def versions_kept(self, *, keep: int = 5) -> Listing:
        """Every version with its size, and whether `gc` with `keep` would give its files up."""
        from feilun.project.housekeeping import versions_kept

        return versions_kept(self.scope, keep)

    def gc(self, *, keep: int = 5, dry_run: bool = False) -> Listing:
        """Removes what nothing refers to; of each project the live version and the newest `keep`
        stay. With `dry_run` it only says what it would remove."""
        from feilun.store.gc import collect

        report = collect(self.store, keep_versions=keep, dry_run=dry_run)
        data = to_jsonable(report)
        rows = [
            [t(f"project.gc_{k}"), size(v) if k == "bytes" else f"{v:,}"] for k, v in data.items()
        ]
        key = "project.gc_would" if dry_run else "project.gc_done"
        return Listing([data], Table(t(key), ["", ""], rows))

    def backup(self, target: Path | str) -> Listing:
        """The whole workspace into the new folder `target`, while it works."""
        from feilun.project.copies import backup

        return backup(self.store, Path(target))

    @classmethod
    def restore(cls, source: Path | str, folder: Path | str | None = None) -> Listing:
        """The backup `source` into an empty workspace. Raises `Conflict` when it is not empty,
        `CorruptArtifact` when the backup was changed."""
        from feilun.project.copies import restore

        with cls(folder) as workspace:
            made = restore(workspace.settings, workspace.folder, Path(source))
            workspace.store.catalog.note("backup.restore", str(source))
            return made

    def work(self, *, once: bool = False, say: Callable[[str], None] = print) -> Listing:
        """Runs queued turns and scheduled updates until interrupted; `once`: what is due now.
        Returns what was run and how it ended. A turn of a project that somebody else turns waits.
        """
        from feilun.project.worker import due, execute

        ran: list[dict[str, Any]] = []
        said: set[str] = set()

        def say_once(line: str) -> None:
            # Every few seconds the same would drown what matters.
            if line not in said:
                said.add(line)
                say(line)

        while True:
            for task in due(self.scope, say_once):
                code = execute(self.scope, task, say, say_once)
                if once:
                    ran.append({"project": task.project, "kind": task.kind, "code": code})
            if once:
                rows = [[one["project"], one["kind"], str(one["code"])] for one in ran]
                columns = [t("project.project"), t("project.run"), t("project.state")]
                return Listing(ran, Table("", columns if rows else (), rows))
            time.sleep(5)

    def train_tokenizer(
        self,
        *sources: Any,
        out: Path | str,
        kind: str = "bpe",
        vocabulary: int = 16_000,
        base: str | None = None,
        columns: Mapping[str, str] | None = None,
        query: str | None = None,
        report: Callable[[Progress], None] | None = None,
        encoding: str | None = None,
        delimiter: str | None = None,
        header_row: int | None = None,
        sheet: str | None = None,
        day_first: bool | None = None,
    ) -> TrainedTokenizer:
        """A tokenizer of `vocabulary` tokens (`kind` bpe or unigram, of bytes) from the texts of
        `sources` (or rows at hand, as in `Project.add`), in the new folder `out`, compared with
        that of `base`. The same texts give the same tokenizer. `encoding` to `day_first` as in
        `Project.add`."""
        from feilun.data.sources.base import ReadOptions
        from feilun.project.tokenizers import train

        return train(
            self.settings,
            sources,
            Path(out),
            kind=kind,
            vocabulary=vocabulary,
            base=base,
            columns=columns,
            query=query,
            report=report,
            read=ReadOptions(encoding, delimiter, header_row, sheet, day_first),
        )

    def apply_prices(self) -> None:
        """Puts the prices of the settings files in force, from now on; a price that has not
        changed stays the price version it is. A replica has no settings files, and leaves prices
        to the server that has."""
        for project in self.scope.projects():
            if not project.file.exists():
                continue
            config = project.config()
            serving, other = config.serving, config.upstream
            catalog, name = self.store.catalog, project.name
            set_price(catalog, name, serving.price_per_1000, serving.currency)
            paid = UpstreamPrice(other.price_in, other.price_out)
            set_upstream_price(catalog, name, paid, serving.currency)

    def greeting(self, address: str) -> list[str]:
        """What ``feilun serve`` says once it answers: addresses, what is live, how to call."""
        lines = [t("project.serving", address=address), t("project.docs_at", address=address)]
        for project in self.scope.projects():
            live = project.live()
            key = "project.answers_now" if live else "project.answers_not_yet"
            with messages.speaking_of(to_name(self.store, project.name)):
                lines.append(t(key, project=project.called, version=live.id if live else ""))
                if live and project.is_free():
                    lines.append(t("billing.free", project=project.called, file=project.file))
        if not self.keys().rows:
            lines.append(t("project.no_keys"))
        return lines


def _savings(projects: Sequence[Scope]) -> dict[str, str]:
    """What those projects save whose live version answers some calls and passes the others on."""
    found = {}
    for project in projects:
        live = project.live()
        if live is not None and "upstream" in live.metrics:
            from feilun.project.savings import sentence

            found[project.name] = sentence(project)
    return found
