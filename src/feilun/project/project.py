"""A project: its data, its versions, and the verbs that turn the wheel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from feilun.data.sources.base import AS_FOUND, Held, ReadOptions
from feilun.errors import Conflict, NotFound, Refused, UsageError
from feilun.messages import t
from feilun.project import answers, beside, looks, quick
from feilun.project.judging_verbs import JudgingVerbs
from feilun.project.queue_verbs import QueueVerbs
from feilun.project.results import (
    Deployed,
    Evaluated,
    FeedbackAdded,
    Listing,
    Predicted,
    Turned,
    named,
    score_head,
)
from feilun.project.scope import Report
from feilun.project.search_verbs import SearchVerbs
from feilun.project.variant_verbs import VariantVerbs
from feilun.store.records import ModelVersion, RunKind
from feilun.table import Table
from feilun.types import Item, Schema

if TYPE_CHECKING:
    from feilun.project.drift import DriftView
    from feilun.project.pairing import PairsWritten
    from feilun.project.review import ReviewItem, Settled

__all__ = ["Model", "Project"]


class Model:
    """A trained version, ``reviews@3``: what it scores and the verbs that concern it alone."""

    def __init__(self, project: Project, record: ModelVersion) -> None:
        self.project = project
        self.record = record

    @property
    def id(self) -> str:
        """Its name, ``reviews@3``."""
        return self.record.id

    @property
    def state(self) -> str:
        """``candidate``, ``live``, ``retired``, ``refused`` or ``failed``."""
        return self.record.state

    @property
    def metrics(self) -> Mapping[str, Any]:
        """What was measured: scores with intervals by name, and how the training went."""
        return self.record.metrics

    def decisions(self) -> Listing:
        """Each time that it was decided whether it goes live, the oldest first."""
        from feilun.project.version_list import decisions

        return decisions(self.record)

    def golden(self) -> Listing:
        """What the golden requests proved when it was to go live last."""
        from feilun.project.version_list import golden

        return golden(self.record)

    def labels(self) -> list[str]:
        """The names it can answer with; empty where its answers have none."""
        return list(self._schema().labels)

    def inputs(self) -> list[tuple[str, str]]:
        """What one input consists of: names with their kinds, such as ``("text", "text")``."""
        from feilun.tasks.base import of

        return [(column.name, column.kind) for column in of(self._schema()).columns]

    def _schema(self) -> Schema:
        from feilun.engines.card import read_card

        return read_card(self.project.scope.context().folder(self.record)).schema

    def predict(self, items: Item | Sequence[Item], all_scores: bool = False) -> Predicted:
        """Answers in this process, unmetered."""
        return self.project.predict(items, model=self.id, all_scores=all_scores)

    def evaluate(self, on: str | Path | None = None) -> Evaluated:
        """Judges it; see `Project.evaluate`."""
        return self.project.evaluate(self.id, on=on)

    def deploy(self, *, force: bool = False, reason: str | None = None) -> Deployed:
        """Puts it live; see `Project.deploy`."""
        return self.project.deploy(self.id, force=force, reason=reason)

    def export(self, folder: Path | str) -> list[str]:
        """Writes it as a folder that explains itself; see `Project.export`."""
        return self.project.export(self.id, folder)

    def __repr__(self) -> str:
        return f"Model({self.id!r}, {self.record.method}, {self.state})"

    def _repr_html_(self) -> str:
        scores = self.record.metrics.get("test", {})
        title = f"{self.id} · {self.record.method} · {t(f'project.state_{self.state}')}"
        return Table(title, [t("project.metric"), score_head(scores)], named(scores))._repr_html_()


class Project(SearchVerbs, VariantVerbs, JudgingVerbs, QueueVerbs):
    """One project of a workspace. Made by `Workspace.init` and `Workspace.project`."""

    # The wheel

    def run(
        self,
        *,
        method: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        restart: bool = False,
        report: Report | None = None,
    ) -> Turned:
        """The whole wheel on the latest data: plan, and for each stage train, compress, evaluate,
        deploy what the gate lets through. Resumes an interrupted run of the same data and
        settings; `restart` begins anew. Raises `AlreadyRunning` while another process runs it."""
        self.scope.data()
        return self._turn("run", method, overrides, restart, report)

    def train(
        self,
        *,
        method: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        restart: bool = False,
        report: Report | None = None,
    ) -> Turned:
        """The planned stages as candidates, neither judged nor deployed."""
        self.scope.data()
        return self._turn("train", method, overrides, restart, report)

    def update(
        self,
        *,
        quick: bool = False,
        overrides: Mapping[str, Any] | None = None,
        restart: bool = False,
        report: Report | None = None,
    ) -> Turned:
        """Learns from the corrections since the last update, in the way of the live version's
        method, and promotes the result or says why not.

        With `quick`, from five corrections on: where an encoder is live, labels are placed among
        its own vectors in seconds, a new one by five rows; the next update trains it."""
        changes = self.hastened(overrides) if quick else overrides
        return self._turn("update", None, changes, restart, report)

    def hastened(self, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The settings of a quick update; what `overrides` or the project file ask less for
        stays."""
        return quick.hastened(self.scope, overrides)

    def new_labels(self) -> dict[str, int]:
        """Labels in corrections that the live version does not know, each with the rows that wait,
        the most first: a quick update answers those with five. Empty where nothing is live."""
        return quick.new_labels(self.scope)

    def tune(
        self,
        *,
        minutes: float | None = None,
        trials: int | None = None,
        overrides: Mapping[str, Any] | None = None,
        restart: bool = False,
        report: Report | None = None,
    ) -> Turned:
        """Searches methods, bases and settings for `minutes` (default: ``[tune]`` of the settings),
        with `trials` trainings at most, on rows that do not judge; then the best is trained, and
        judged on the test rows as one attempt. Goes on where it was interrupted; `restart` begins
        anew. Raises `UsageError` where no method fits into the time."""
        self.scope.data()
        changes = dict(overrides or {})
        changes |= {"tune.minutes": minutes} if minutes is not None else {}
        changes |= {"tune.trials": trials} if trials is not None else {}
        return self._turn("tune", None, changes, restart, report)

    def _turn(
        self,
        kind: RunKind,
        method: str | None,
        overrides: Mapping[str, Any] | None,
        restart: bool,
        report: Report | None,
    ) -> Turned:
        changes = dict(overrides or {})
        if method is not None:
            changes["training.method"] = method
        config, methods = self.scope.resolved(changes)
        from feilun.pipeline.runner import turn

        run, repeated = turn(
            self.workspace.store,
            self.workspace.settings,
            kind,
            config,
            methods,
            restart=restart,
            report=report,
        )
        return looks.turned(self.workspace.store, self.file.parent, run, repeated=repeated)

    # Models

    def models(self) -> list[Model]:
        """Every version, oldest first."""
        versions = self.workspace.store.catalog.model_versions(self.name)
        return [Model(self, version) for version in versions]

    def versions(self) -> Listing:
        """Every version, newest first, with its state, verdict and score."""
        from feilun.project.version_list import version_list

        return version_list(self.scope)

    def releases(self) -> Listing:
        """What answered for the project, the newest first, by whose word and why."""
        from feilun.project.version_list import releases

        return releases(self.scope)

    def model(self, name: str | None = None) -> Model:
        """The version of this name: ``reviews@3``, ``3``, ``live``, or the latest by default.
        Raises `NotFound` naming the versions there are."""
        return Model(self, self.scope.version(name))

    @property
    def live(self) -> Model | None:
        """The version that answers now, None before the first."""
        version = self.scope.live()
        return Model(self, version) if version else None

    @property
    def live_or_newest(self) -> Model | None:
        """The version that answers now, else the newest; None before the first."""
        return self.live or next(iter(self.models()[::-1]), None)

    def evaluate(
        self,
        model: str | None = None,
        *,
        on: Any = None,
        report: Report | None = None,
        encoding: str | None = None,
        delimiter: str | None = None,
        header_row: int | None = None,
        sheet: str | None = None,
        day_first: bool | None = None,
    ) -> Evaluated:
        """Judges a version on the test rows beside the live one and the baseline, or on the
        labelled rows of the file `on` (or rows at hand, as in `add`), which then belong to no
        split; `encoding` to `day_first` say how it is written, as in `add`."""
        read = ReadOptions(encoding, delimiter, header_row, sheet, day_first)
        if on is None and read != AS_FOUND:
            raise UsageError("formats.reading_without_file")
        version = self.scope.version(model)
        context = self.scope.context(report)
        if on is not None:
            return answers.evaluate_file(context, version, on, read)
        from feilun.pipeline.steps import evaluate

        judged = evaluate(context, version=version.id, people=self.preference.facts_of(version.id))
        beside = self.preference.told_of(version.id)
        return looks.evaluated(self.workspace.store, self.file.parent, version.id, judged, beside)

    def deploy(
        self,
        model: str | None = None,
        *,
        force: bool = False,
        reason: str | None = None,
        canary: float | None = None,
        shadow: bool = False,
        report: Report | None = None,
    ) -> Deployed:
        """Puts a version live when the gate let it pass and the golden requests agree.

        `force` goes past the gate (never past the golden requests) and needs a `reason`, which is
        kept. With `canary`, percent of the calls, it answers these beside the live version; as a
        `shadow` it is asked what the live version is asked, compared and not heard, so that no gate
        has to let it pass. Without either it takes the live place, also from there. Raises
        `Refused` with the gate's reasons, `UsageError` for force without a reason, `Conflict` for
        the live version as a canary or a shadow of itself.
        """
        if force and not (reason or "").strip():
            raise UsageError("project.force_needs_reason")
        from feilun.pipeline.steps import compress, deploy, evaluate

        context = self.scope.context(report)
        version = self.scope.version(model)
        catalog = self.workspace.store.catalog
        endpoint = catalog.project(self.name).endpoint
        place = beside.wanted(self.workspace.store, endpoint, canary, shadow)
        with self.workspace.store.lock(self.name):
            before = catalog.live(endpoint)
            now = (before.version, before.artifact) if before else None
            if now == (version.id, version.artifact()):
                if place is not None:
                    raise Conflict("store.live_already", version=version.id, endpoint=endpoint)
                return Deployed(version.id, None, False, None)
            if not version.variants and version.data_version is not None:
                compress(context, version=version.id)
            if not force and not shadow:
                judged = evaluate(context, version=version.id, decides=True)
                if not judged["promote"]:
                    raise Refused(
                        "project.gate_refused",
                        version=version.id,
                        reasons="\n".join(judged["reasons"]),
                    )
            outcome = deploy(
                context, version=version.id, forced=force, reason=reason or "", beside=place
            )
        if not outcome["promoted"]:
            raise Refused(outcome["refused"], version=version.id, **outcome["golden"])
        previous = before.version if before and before.version != version.id else None
        role, share = place or ("live", 1.0)
        notes = (t("billing.free", project=self.called, file=self.file),) if self.is_free() else ()
        return Deployed(
            version.id, previous, force, outcome["golden"], role=role, share=share, notes=notes
        )

    def rollback(self, *, shadow: bool = False, reason: str | None = None) -> Deployed:
        """A canary ends, and the live version answers all calls again. Without one, the version
        that was live before the present one answers again, at once; a second rollback goes one
        further back. `shadow` ends the shadow and nothing else. A `reason` is kept with what
        answers again. Raises `NotFound` when there is nothing to go back to."""
        store = self.workspace.store
        if shadow or (canaries := beside.end(store, self.name, "canary")):
            ended = [beside.end_shadow(store, self.name)] if shadow else canaries
            answers_now = self.live
            notes = tuple(t("project.ended_beside", version=version) for version in ended)
            return Deployed(answers_now.id if answers_now else "", None, False, None, notes=notes)
        catalog = store.catalog
        endpoint = catalog.project(self.name).endpoint
        live, former = catalog.live(endpoint), catalog.former(endpoint)
        if live is None:
            raise NotFound("project.not_live_yet", project=self.name)
        if former is None:
            raise NotFound("project.nothing_before", project=self.name)
        done = t("project.rolled_back", version=live.version)
        why = f"{done}: {reason.strip()}" if reason and reason.strip() else done
        catalog.set_live(endpoint, former.version, former.variant, reason=why, actor="rollback")
        return Deployed(former.version, None, False, None, notes=(why,))

    def beside(self) -> Listing:
        """The canary and the shadow with what they did so far."""
        catalog = self.workspace.store.catalog
        found = beside.beside(self.workspace.store, catalog.project(self.name).endpoint)
        return beside.listed(found, self.called)

    def predict(
        self,
        items: Any,
        model: str | None = None,
        all_scores: bool = False,
        explain: bool = False,
    ) -> Predicted:
        """Answers one item or several in this process, unmetered, by the live version or `model`
        (a version's name, or the folder of an exported one). Items may be the rows of an Arrow
        table, a DataFrame or a dataset, whose input columns are found as in files. `explain`
        tells what each word or square added."""
        if Held.is_table(items):
            rows = answers.rows_of(self.task, items, self.config().data.columns)
            return answers.predict(self.scope, rows, model, all_scores, explain=explain)
        single = items is None or isinstance(items, (str, bytes, int, float, Mapping))
        listed = [cast(Item, items)] if single else list(cast(Sequence[Item], items))
        return answers.predict(self.scope, listed, model, all_scores, explain=explain)

    def prompt(self, item: Item, model: str | None = None) -> str | None:
        """The very text that a version reads to answer `item`; None for one that is no language
        model. Raises `InvalidData` for an item that is none."""
        from feilun.engines.base import prompt_of

        version = self.model(model or ("live" if self.live else None)).record
        return prompt_of(self.scope.context().folder(version), self.task.check(item))

    def predict_files(
        self,
        given: Sequence[str],
        *,
        model: str | None = None,
        url: str | None = None,
        key: str | None = None,
        all_scores: bool = False,
        explain: bool = False,
        encoding: str | None = None,
        delimiter: str | None = None,
        header_row: int | None = None,
        sheet: str | None = None,
        day_first: bool | None = None,
    ) -> Predicted:
        """Answers texts and the rows of files; `encoding` to `day_first` say how they are written,
        as in `add`. With `url` the server there answers, metered under `key` (default:
        ``FEILUN_KEY``)."""
        read = ReadOptions(encoding, delimiter, header_row, sheet, day_first)
        items = answers.read_items(self.task, given, self.config().data.columns, read)
        names = answers.file_names(self.task, given)
        if url is None:
            return answers.predict(self.scope, items, model, all_scores, names, explain)
        secret = key or self.workspace.settings.key
        if not secret:
            raise UsageError("project.no_key")
        return answers.call(url, secret, model or self.name, items, all_scores, names, explain)

    def export(self, model: str | None, folder: Path | str) -> list[str]:
        """Writes a version as a folder that explains itself and answers without this workspace.
        Returns the names of its files. Raises `Conflict` when `folder` exists."""
        from feilun.project.export import export

        return export(self.scope.context(), self.scope.version(model), Path(folder))

    # Feedback

    def add_feedback(self, file: Path | str) -> FeedbackAdded:
        """Corrections from a file with the columns ``prediction_id``, ``index`` (0 where it is
        missing) and ``label``, as the operator's word. Bad rows, and those about answers of other
        projects, are refused one by one."""
        need = self.config().update.min_corrections
        return answers.add_feedback(self.workspace.store, self.name, Path(file), need)

    def write_pairs(self, file: Path | str) -> PairsWritten:
        """Writes corrections of written answers, and answers that people preferred (`preference`),
        as pairs (``prompt``, ``chosen``, ``rejected``), from which the method dpo learns. Raises
        `UsageError` where answers are not written, `NotFound` where there is none."""
        from feilun.project.pairing import write_pairs

        return write_pairs(self.scope, Path(file))

    def review(self, limit: int = 100, *, drawn_only: bool = False) -> Iterator[ReviewItem]:
        """What is worth a look: corrections that were held back, then doubtful answers, and between
        them a share drawn at random, or with `drawn_only` nothing else: labels of drawn answers
        judge the next version. Call `ReviewItem.label` to correct or confirm one."""
        from feilun.project.review import review

        return review(self.scope, limit, drawn_only=drawn_only)

    def drift(self) -> DriftView:
        """Whether inputs and answers are still like those that the live version was made from:
        looks where enough is new, else tells what was found before."""
        from feilun.project.drift import look

        return look(self.scope)

    def raise_share(self, *, report: Report | None = None) -> Deployed:
        """Puts the version that takes over from another server on the next of ``upstream.steps``,
        where the gate lets it pass anew. Raises `NotFound` where none stands on a step, `Refused`
        with the gate's reasons."""
        from feilun.project.savings import next_step

        version, canary = next_step(self.scope)
        return self.deploy(version, canary=canary, reason=t("upstream.raised"), report=report)

    def settle(self, customer: str, *, accept: bool) -> Settled:
        """All corrections of a customer (or key) that were held back count as the operator's, or
        are never learned. Raises `NotFound` when there are none."""
        from feilun.project.review import settle

        return settle(self.scope, customer, accept)
