"""The parts of ``benchmarks.evidence`` that train for hours: what they keep, and their tables."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from benchmarks.evidence import adapters, few_labels, flagship, students
from benchmarks.evidence.__main__ import HOURS, parts
from benchmarks.evidence._few import named
from benchmarks.evidence._results import bits, name_of, once, over_seeds, truths
from benchmarks.page import Part, _last_line

from feilun.metrics.intervals import paired_difference
from feilun.metrics.scores import Score


def test_every_part_has_a_title_of_its_own() -> None:
    """The page is put together by titles."""
    titles = [one.title for one in parts().values()]
    assert len(set(titles)) == len(titles)
    assert all(titles)
    assert {name for name, one in parts().items() if one.asked} == {*HOURS, "frozen"}


def test_what_was_found_is_not_measured_again_and_what_failed_is(tmp_path: Path) -> None:
    file, asked = tmp_path / "kept" / "one.json", []

    def measure() -> dict[str, float]:
        asked.append(len(asked))
        if len(asked) == 1:
            raise KeyboardInterrupt
        return {"value": len(asked)}

    with pytest.raises(KeyboardInterrupt):
        once(file, measure)
    assert not file.exists()
    assert once(file, measure) == once(file, measure) == {"value": 2}
    assert asked == [0, 1]


def test_the_page_names_no_folder_of_this_machine() -> None:
    part = Part(
        "benchmarks.evidence.flagship", "Flagship", arguments=("--kept", "/x", "--rows", "9")
    )
    assert _last_line(part, ".").startswith("`python -m benchmarks.evidence.flagship --rows 9`, ")


def test_another_choice_has_another_name() -> None:
    assert name_of("en", None, "training.full.epochs=1", 0) != name_of("en", None, 0)
    assert re.fullmatch(r"[\w.=-]+", name_of("a b/c", Path("/x/y"), "set=[1, 2]"))


def test_rows_and_seeds_are_read_as_they_were_kept() -> None:
    right = np.random.default_rng(0).random((2, 50)) < 0.8
    kept = [bits(one) for one in right]
    assert truths(kept[:1]).dtype == bool
    assert (truths(kept[:1]) == right[0]).all()
    assert (truths(kept) == right.mean(axis=0)).all()
    assert over_seeds([80.0, 82.0]) == "81.0 ± 12.7"  # Student's 12.706 with one degree of freedom


def _engine(draw: np.random.Generator, share: float) -> str:
    return bits(draw.random(400) < share)


def test_the_flagship_is_told_over_its_seeds() -> None:
    found = [
        {"trained": "1" * 9 + "0", "served": "1" * 8 + "00", "variant": "int8"},
        {"trained": "1" * 7 + "000", "served": "1" * 8 + "00", "variant": "fp32"},
    ]
    cells = [one.strip() for one in flagship.line("en", "full", found).strip("|").split("|")]
    assert cells[:2] == ["en", "full"]
    assert cells[2].startswith("80.0 ±")
    assert cells[3].startswith("80.0 (")
    assert cells[4:] == ["80.0 ± 0.0", "int8, fp32", "2"]
    assert len(cells) == len(flagship.HEAD)


def test_a_student_is_held_against_its_teacher() -> None:
    draw = np.random.default_rng(1)
    names = {"teacher fp32": 0.9, "teacher int8": 0.9, "student fp32": 0.6, "student int8": 0.6}
    found = [
        {
            "right": {name: _engine(draw, share) for name, share in names.items()},
            "seconds": dict(zip(names, (4.0, 2.0, 2.0, 0.5), strict=True)),
        }
        for _ in range(2)
    ]
    rows = [[one.strip() for one in line.strip("|").split("|")] for line in students.lines(found)]
    assert [row[0] for row in rows] == list(names)
    assert all(len(row) == len(students.HEAD) for row in rows)
    assert rows[0][2].startswith("+0.0")
    assert re.match(r"-[23]\d\.\d \(-", rows[2][2])
    assert rows[3][3:] == ["8.00 (8.00 to 8.00)", "4.00 (4.00 to 4.00)"]


def test_the_table_says_which_adapters_are_not_within_the_margin() -> None:
    draw = np.random.default_rng(2)
    shares = {"full": 0.9, "lora": 0.89, "ia3": 0.5}
    found = {
        name: [{"right": _engine(draw, share), "weights": 1000.0, "seconds": 5.0}]
        for name, share in shares.items()
    }
    rows = [line.strip("|").split("|") for line in adapters.lines("English", found)]
    assert [row[4].strip() for row in rows][::2] == ["–", "no"]
    assert all(len(row) == len(adapters.HEAD) for row in rows)
    assert adapters.near(Score(-0.001, -0.002, 0.001)) == "yes"
    assert adapters.near(Score(-0.001, -0.02, 0.02)) == "yes, not proven"
    assert adapters.near(Score(-0.01, -0.02, 0.001)) == "no, not proven"
    assert adapters.near(Score(-0.01, -0.02, -0.004)) == "no"
    lost = paired_difference(*(truths([found[one][0]["right"]]) for one in ("ia3", "full")))
    assert f"{100 * lost.value:+.1f}" in rows[2][3]


def test_all_parameter_efficient_methods_take_part() -> None:
    """Those for classes whose base stays as it is; none that teaches all of it."""
    found = adapters.efficient(named("courses"))
    assert {"lora", "dora", "ia3", "adalora", "bottleneck", "prefix-tuning"} <= set(found)
    assert not {"full", "head", "stack", "setfit"} & set(found)
    assert len(set(named("courses").labels)) == 10


def test_titles_that_judge_few_labels_teach_nothing(tmp_path: Path) -> None:
    titles, subjects, unseen, truth = few_labels.rows_of("courses", tmp_path)
    assert not set(titles) & set(unseen)
    assert set(subjects) == set(truth)
    assert len(titles) + len(unseen) == len(named("courses").items)
