"""The verbs of a project that are about its data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feilun.data.sources.base import AS_FOUND, ReadOptions
from feilun.errors import UsageError
from feilun.project import looks
from feilun.project.base import ProjectBase
from feilun.project.results import Added, Listing
from feilun.project.scope import Report

if TYPE_CHECKING:
    from feilun.data.audit.finding import Finding
    from feilun.project.corpus import Corpus
    from feilun.project.data_diff import DataDiff
    from feilun.project.labelling import RowsWritten
    from feilun.project.mend import Cleaned, Used
    from feilun.project.preview import Preview
    from feilun.project.row_search import Rows
    from feilun.project.voting import Votes
    from feilun.project.watch import Watched

__all__ = ["DataVerbs"]


class DataVerbs(ProjectBase):
    """Adding rows, looking at them, mending them."""

    def add(
        self,
        *sources: Any,
        columns: Mapping[str, str] | None = None,
        split: str = "auto",
        query: str | None = None,
        since: str | None = None,
        mark: str | None = None,
        restart: bool = False,
        report: Report | None = None,
        drop_last: int = 0,
        exclude: set[bytes] | None = None,
        encoding: str | None = None,
        delimiter: str | None = None,
        header_row: int | None = None,
        sheet: str | None = None,
        day_first: bool | None = None,
        relabel: bool = False,
        append: bool = False,
    ) -> Added:
        """Adds files, folders or the URL of a database (with `query`) as the next data version, or
        rows at hand: a list of dictionaries or tuples, Arrow tables, DataFrames of pandas or
        polars, datasets of Hugging Face.

        `columns` maps roles to columns (``{"text": "review", "label": "score"}``), the rest is
        guessed. `split` sends all rows to one split instead of dividing them. `drop_last` leaves
        that many rows at the end of each source out, `exclude` rows of these contents (hashes of
        `feilun.data.content`). With `since`, a column of the query, later calls read only rows at
        or after the newest that was added; `mark` names the high-water mark where one database has
        several, `restart` reads everything again. `encoding`, `delimiter`, `header_row` (the line
        of the columns' names, counted from 1), `sheet` (a name, or a number counted from 1) and
        `day_first` (for dates such as 01/02/2026 whose column shows no order) say how files are
        written. With `relabel`, rows that are here already take the label that the sources give
        them, test rows too, which stay test rows. With `append`, rows of a table that have no id
        are new observations, also where equal ones are here already. Bad rows go to a file with
        their reasons; when a source cannot be used at all, nothing changes.
        """
        from feilun.project import adding

        return adding.add(
            self.scope,
            sources,
            columns=columns,
            split=split,
            query=query,
            since=since,
            mark=mark,
            restart=restart,
            report=report,
            drop_last=drop_last,
            exclude=exclude,
            read=ReadOptions(encoding, delimiter, header_row, sheet, day_first),
            relabel=relabel,
            append=append,
        )

    def preview(
        self,
        *sources: Any,
        columns: Mapping[str, str] | None = None,
        query: str | None = None,
        report: Report | None = None,
        encoding: str | None = None,
        delimiter: str | None = None,
        header_row: int | None = None,
        sheet: str | None = None,
        day_first: bool | None = None,
    ) -> Preview:
        """What `add` would make of these sources: how the columns of the first table are
        understood, which rows would be kept, and what cannot be used and why. Nothing is kept.
        Options as in `add`. Raises `UsageError` without a source."""
        from feilun.project.preview import preview

        read = ReadOptions(encoding, delimiter, header_row, sheet, day_first)
        return preview(self.scope, sources, columns=columns, query=query, read=read, report=report)

    def add_corpus(
        self,
        *sources: Any,
        columns: Mapping[str, str] | None = None,
        query: str | None = None,
        report: Report | None = None,
        encoding: str | None = None,
        delimiter: str | None = None,
        header_row: int | None = None,
        sheet: str | None = None,
        day_first: bool | None = None,
    ) -> Corpus:
        """Keeps rows without labels, such as those of a Wikipedia dump (or rows at hand, as in
        `add`), as a corpus beside the data versions: for labelling, for trying tokenizers, and for
        methods with a setting ``corpus``. `encoding` to `day_first` as in `add`."""
        from feilun.project import corpus

        return corpus.add(
            self.scope,
            sources,
            columns=columns,
            query=query,
            report=report,
            read=ReadOptions(encoding, delimiter, header_row, sheet, day_first),
        )

    @property
    def labelling(self) -> Votes:
        """Labelling the rows of a corpus: by whom, how far people agree, and data made of it."""
        from feilun.project.voting import Votes

        return Votes(self.scope, self.add)

    def watch(
        self,
        folder: Path | str,
        *,
        every: float = 60,
        once: bool = False,
        columns: Mapping[str, str] | None = None,
        split: str = "auto",
        say: Callable[[str], None] = print,
        encoding: str | None = None,
        delimiter: str | None = None,
        header_row: int | None = None,
        sheet: str | None = None,
        day_first: bool | None = None,
    ) -> Watched:
        """Adds the files that arrive in `folder`, each once and when it is complete, until
        interrupted; `once`: those that are there. Files that cannot be used are moved to its
        sub-folder ``refused`` with the reason. `encoding` to `day_first` as in `add`. Raises
        `NotFound` without the folder."""
        from feilun.project.watch import watch

        return watch(
            self.scope,
            Path(folder),
            every=every,
            once=once,
            columns=columns,
            split=split,
            say=say,
            read=ReadOptions(encoding, delimiter, header_row, sheet, day_first),
        )

    def audit(
        self,
        *files: Any,
        columns: Mapping[str, str] | None = None,
        query: str | None = None,
        quick: bool = False,
        report: Report | None = None,
        encoding: str | None = None,
        delimiter: str | None = None,
        header_row: int | None = None,
        sheet: str | None = None,
        day_first: bool | None = None,
    ) -> looks.AuditView:
        """What is wrong with the latest data version, or with `files` (or rows at hand, as in
        `add`) before they are added: an `AuditReport` with findings, and a page under
        ``NAME/audit``. `quick` counts and describes only. `encoding` to `day_first` as in `add`.
        Raises `NotFound` before the first version."""
        from feilun.project import auditing

        context, folder = self.scope.context(report), self.file.parent / "audit"
        read = ReadOptions(encoding, delimiter, header_row, sheet, day_first)
        if files:
            return auditing.audit_files(context, files, columns or {}, query, folder, read)
        if read != AS_FOUND:
            raise UsageError("formats.reading_without_file")
        if quick:
            return looks.audit(context, self.scope.data())
        return auditing.audit_version(context, self.scope.data(), folder)

    def clean(
        self,
        *,
        recipe: str | Path | None = None,
        dry_run: bool = False,
        forget_recipe: bool = False,
        report: Report | None = None,
        **steps: Any,
    ) -> Cleaned:
        """Mends the latest data version into the next one. `steps` are the settings of
        `feilun.data.clean.recipe.Cleaning` (``drop_duplicates="near"``, ``mask=("phone",)``, …),
        after those of the TOML file `recipe`. They are kept with the version, and rows that come
        in later go through them; `forget_recipe` ends the recipe so far. `dry_run` only tells what
        would change. Rows of the test split change or go only where the steps name them."""
        from feilun.project import mend

        return mend.clean(
            self.scope,
            recipe=recipe,
            dry_run=dry_run,
            forget_recipe=forget_recipe,
            report=report,
            **steps,
        )

    def recipe(self) -> Listing:
        """The cleanings that the latest data version went through."""
        from feilun.project import mend

        return mend.recipe(self.scope)

    def recipe_toml(self) -> str:
        """The recipe as a file for `clean`, without the rows that files named."""
        from feilun.project import mend

        return mend.recipe_toml(self.scope)

    def use_data(self, version: str, *, relearn: bool = False) -> Used:
        """Makes the next data version equal to an earlier one, such as ``reviews:2`` or ``2``.
        Nothing is lost: the versions between stay. With `relearn` the feedback that they had
        learnt waits for the next update again."""
        from feilun.project import mend

        return mend.use(self.scope, version, relearn=relearn)

    def diff_data(self, version: str | None = None, against: str | None = None) -> DataDiff:
        """What tells a data version, such as ``reviews:2`` or ``2``, by default the latest, from
        the one before it or from `against`: rows that came, left, bear another label or input, by
        split; labels that came or went. Raises `NotFound`."""
        from feilun.project.data_diff import diff

        return diff(self.scope, version, against)

    def export_data(
        self,
        file: str | Path,
        *,
        format: str | None = None,
        split: str | None = None,
        only: str | Path | None = None,
    ) -> RowsWritten:
        """Writes rows for a labelling tool: ``label-studio``, ``doccano`` or ``csv``, by default
        what the suffix of `file` says; of one `split`, or those that the file `only` names. What
        comes back is read by `add` (new rows) and by ``clean(relabel=…)`` (new labels)."""
        from feilun.project.labelling import export_data

        named = Path(only) if only else None
        return export_data(self.scope, Path(file), format=format, split=split, only=named)

    def unmask(self, file: str | Path, out: str | Path | None = None) -> dict[str, Any]:
        """Turns the reversible masks in a text file back, into the new file `out`."""
        from feilun.project.unmask import unmask_file

        return unmask_file(self.scope, Path(file), Path(out) if out else None)

    def rows(
        self,
        text: str = "",
        *,
        split: str | None = None,
        label: str | None = None,
        source: str | None = None,
        suspect: bool = False,
        offset: int = 0,
        limit: int = 50,
    ) -> Rows:
        """Rows of the newest data version whose inputs, label or id hold `text`, in any case; of
        one `split`, `label` and `source` where given; `limit` of them from the `offset`-th on.
        `suspect`: those whose label the audit doubts, the most doubtful first; raises `NotFound`
        before it was made."""
        from feilun.project.row_search import search

        return search(
            self.scope,
            text,
            split=split,
            label=label,
            source=source,
            suspect=suspect,
            offset=offset,
            limit=limit,
        )

    def findings(self) -> tuple[Finding, ...]:
        """What the last `audit` of the newest data version found, with what mends it. Raises
        `NotFound` before it was made."""
        from feilun.project.suspected import findings

        return findings(self.scope)

    def show(self, rows: int = 5, *, rendered: bool = False) -> Listing:
        """The data versions and some rows of the latest; `rendered` training rows as the exact text
        that a language model is taught, with what is learnt marked."""
        look = looks.rendered if rendered else looks.show
        return look(self.scope.context(), self.scope.data(), rows)
