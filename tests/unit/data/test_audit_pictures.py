"""What an audit says of pictures: which file is meant, and what it looks like."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from feilun import messages
from feilun.data.audit.finding import Draft, Finding, filled
from feilun.data.outcome import Notice
from feilun.project import Project, Workspace
from feilun.project.audit_page import AuditReport, render
from helpers.builds import build_version
from helpers.few import few
from helpers.pictures import write_digits
from helpers.rows import write_reviews

_MOVED = 12


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("pictures")
    photos = write_digits(folder / "photos", 600)
    # Some ones lie in the folder of the zeros.
    for picture in sorted((photos / "1").iterdir())[:_MOVED]:
        picture.rename(photos / "0" / f"moved-{picture.name}")
    with Workspace(folder) as workspace:
        made = workspace.init("digits", task="image-classification")
        made.add(photos)
        yield made


def _said(report: AuditReport) -> str:
    return "\n".join(note for table in report.tables() for note in table.notes)


@pytest.mark.parametrize("added", few([True, False], True))
def test_suspects_are_known_by_their_files(project: Project, added: bool) -> None:
    photos = project.workspace.folder / "photos"
    report = project.audit() if added else project.audit(photos)
    assert isinstance(report, AuditReport)
    assert report.suspects is not None
    with report.suspects.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows
    for row in rows:
        assert (photos.parent / row["row_id"]).is_file()
        assert row["text"] == row["row_id"]
    moved = [row for row in rows if "/moved-" in row["row_id"]]
    assert moved
    assert f"[{rows[0]['row_id']}] {messages.t('audit.picture')}" in _said(report)
    found = {one.code: one for one in report.findings}
    shown = found["suspects"].examples[0].rows[0]
    assert shown.row_id == rows[0]["row_id"]
    assert shown.image.startswith("data:image/png;base64,")
    page = render(report)
    assert f'<img src="{shown.image}" alt="{shown.row_id}">' in page
    assert "base64" not in str(report.to_json()), "pictures are for pages alone"
    # That a folder of classes is sorted by class is no news.
    assert not {"sorted", "drift"} & set(found)


@pytest.mark.slow
def test_the_reviewed_file_mends_the_pictures(project: Project) -> None:
    report = project.audit()
    assert isinstance(report, AuditReport)
    assert report.suspects is not None
    with report.suspects.open(encoding="utf-8-sig", newline="") as stream:
        (first, *_) = csv.DictReader(stream)
    file = project.workspace.folder / "reviewed.csv"
    file.write_text(f"row_id,label\n{first['row_id']},{first['suggested']}\n", "utf-8")
    project.clean(relabel=str(file))
    data = project.scope.context().dataset(project.scope.data())
    (now,) = [e.label for e in data.examples() if e.row_id == first["row_id"]]
    assert now == first["suggested"]


def _draft(code: str, severity: str, cost: Notice | None, place: int = 0) -> Draft:
    basis = Notice("audit.basis_all", {"rows": 10})
    return Draft(Finding(code, severity, 3, 10, basis, {}, (), cost), [(place,)])  # type: ignore[arg-type]


def test_findings_are_listed_by_what_they_cost(tmp_path: Path) -> None:
    data, _ = build_version(tmp_path / "v1", write_reviews(tmp_path / "a.csv", 40))
    duplicates = Notice("audit.cost_duplicates", {"naive": 0.93, "honest": 0.90})
    conflicts = Notice("audit.cost_conflicts", {"ceiling": 0.8})
    drafts = [
        _draft("exact_duplicates", "bad", duplicates),
        _draft("personal", "bad", None),
        _draft("conflicts", "bad", conflicts),
        _draft("suspects", "warn", Notice("audit.cost_suspects", {"ceiling": 0.5})),
    ]
    found = filled(drafts, data)
    codes = [one.code for one in found]
    assert codes == ["conflicts", "exact_duplicates", "personal", "suspects"]
    assert [round(one.price, 2) for one in found] == [0.2, 0.03, 0, 0.5]


def test_personal_data_is_no_matter_of_scores() -> None:
    private = Finding("personal", "bad", 3, 10, Notice("audit.basis_all", {"rows": 10}),
                      {"kinds": ["id 3"]})  # fmt: skip
    overview = {"rows": 10, "labels": [], "lengths": {}, "bad": 0, "chinese": 0.0}

    def page(*findings: Finding) -> str:
        return render(AuditReport("shop:1", overview, findings=findings, rows=10), lang="en")

    assert "shop:1 holds personal data: mask it before anything learns" in page(private)
    assert "figures can be trusted" not in page(private)
    wrong = _draft("conflicts", "bad", None).finding
    both = page(private, Finding(**{**_plain(wrong), "params": {"contents": 2}}))
    assert "1 to mend before its figures can be trusted" in both


def _plain(one: Finding) -> dict[str, object]:
    return {name: getattr(one, name) for name in one.__dataclass_fields__}
