"""A version that answers as well as the live one and costs less goes live by the gate, not by
force; what it may lose is counted from the best version that was ever live."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from feilun.engines.card import read_card
from feilun.engines.cascade import write_cascade
from feilun.errors import Refused
from feilun.pipeline.steps._rivals import rivals, since_best
from feilun.project import Project
from feilun.store.best import ARTIFACT, BEST, GAIN, OVER_BEST, best_ever, key
from feilun.store.records import Deployment, ModelVersion
from helpers.linear import linear_project

STAGES = 8


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Live is a cascade that asks the linear model eight times before it believes it: it answers as
    the linear one alone, at many times the cost."""
    with linear_project(tmp_path, rows=600) as made:
        _say(made, "margin = 0.05")
        made.train(method="linear")
        store = made.workspace.store
        linear = store.catalog.model_version("reviews@1")
        folder = store.artifacts.new()
        one = store.artifacts.path(linear.weights or "")
        write_cascade(folder, [("linear", one)] * STAGES, [1.01] * (STAGES - 1))
        ref = store.publish(folder, "weights").ref
        dear = store.catalog.add_model_version(
            "reviews", "ensemble", weights=ref, data_version=linear.data_version
        )
        store.catalog.set_live("reviews", dear.id, actor="test")
        yield made


def _say(project: Project, settings: str) -> None:
    kept = project.file.read_text("utf-8").partition("[evaluation]")[0]
    project.file.write_text(f"{kept}[evaluation]\n{settings}\n", "utf-8")


def test_the_cheaper_version_goes_live_without_force(project: Project) -> None:
    catalog = project.workspace.store.catalog
    _say(project, "margin = 0.05\nleast_saving = 1.0")
    with pytest.raises(Refused, match=r"evaluation\.least_saving"):
        project.deploy("reviews@1")
    _say(project, "margin = 0.05")
    context = project.scope.context()
    deployed = project.deploy("reviews@1")
    assert (deployed.previous, deployed.forced) == ("reviews@2", False)
    version = catalog.model_version("reviews@1")
    assert version.metrics["verdict"] == "cheaper"
    decision = version.metrics["decisions"][-1]
    assert not decision[OVER_BEST]
    report = project.workspace.store.artifacts.path(decision["report"])
    page = (report / "report.html").read_text("utf-8")
    assert "cheaper at the same quality" in page
    assert "质量相当而更便宜" in page
    # The dear one stays what losses are counted from, and gc leaves it.
    assert since_best(context) == {"reviews@1", "reviews@2"}
    assert "reviews@2" in catalog.usable("reviews", 0)
    candidate = replace(version, id="reviews@9")
    assert {role: one.id for role, one in rivals(context, candidate, None, None).items()} == {
        "live": "reviews@1",
        "best": "reviews@2",
    }


def _live(number: int, version: str, artifact: str, forced: bool = False) -> Deployment:
    when = datetime(2026, 1, number, tzinfo=UTC)
    place = ("reviews", "reviews", version, None, artifact, 1.0, "live", when, None)
    return Deployment(number, *place, actor="", reason="", forced=forced)


def _version(number: int, decisions: list[dict[str, Any]]) -> ModelVersion:
    nothing: dict[str, Any] = dict.fromkeys(
        ("data_version", "parent", "weights", "variant", "report", "run_id")
    )
    return ModelVersion(
        id=f"reviews@{number}",
        project="reviews",
        number=number,
        method="linear",
        state="live",
        variants={},
        metrics={"decisions": decisions},
        config={},
        reason="",
        created=datetime(2026, 1, number, tzinfo=UTC),
        **nothing,
    )


@pytest.mark.parametrize(
    ("decisions", "forced", "best"),
    [
        ([{"promote": True, OVER_BEST: False}], False, "reviews@1"),
        ([{"promote": True, OVER_BEST: True}], False, "reviews@2"),
        ([{"promote": True, OVER_BEST: True, ARTIFACT: "another"}], False, "reviews@1"),
        ([{"promote": False, OVER_BEST: True}], False, "reviews@1"),
        ([{"promote": True, GAIN: 0.01}], False, "reviews@2"),
        ([{"promote": True, GAIN: -0.001}], False, "reviews@1"),
        ([{"promote": False, OVER_BEST: False}], True, "reviews@2"),
        ([], False, "reviews@2"),
    ],
)
def test_the_best_that_was_ever_live(
    decisions: list[dict[str, Any]], forced: bool, best: str
) -> None:
    first, second = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    said = [{BEST: key(first), **one} for one in decisions]
    versions = {"reviews@1": _version(1, [{"promote": True}]), "reviews@2": _version(2, said)}
    history = [_live(1, "reviews@1", first), _live(2, "reviews@2", second, forced=forced)]
    found = best_ever(history, versions)
    assert found is not None
    assert found.version == best


@pytest.mark.slow
def test_another_variant_of_the_live_version_is_held_against_it(project: Project) -> None:
    """The version that is live as a dear cascade, with its linear model as another variant."""
    store = project.workspace.store
    dear = store.catalog.model_version("reviews@2")
    # No baseline, which this variant is as good as and would have to beat.
    store.catalog.update_model_version("reviews@1", state="failed")
    linear = store.catalog.model_version("reviews@1")
    assert read_card(store.artifacts.path(dear.weights or "")).format == "cascade"
    kept = store.artifacts.new()
    shutil.copytree(store.artifacts.path(linear.weights or ""), kept, dirs_exist_ok=True)
    ref = store.publish(kept, "variant").ref
    store.catalog.update_model_version(
        dear.id, variant="linear", variants={"linear": {"artifact": ref}}
    )
    context = project.scope.context()
    now = store.catalog.model_version(dear.id)
    found = rivals(context, now, None, None)["live"]
    assert (found.id, found.artifact()) == (dear.id, dear.weights)
    assert not project.deploy(dear.id).forced
    live = store.catalog.live("reviews")
    assert live is not None
    assert live.artifact == ref
    assert store.catalog.model_version(dear.id).metrics["verdict"] == "cheaper"
