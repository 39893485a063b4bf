"""The plan: which stages, why, made to fit, refused with what would."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from feilun import messages
from feilun.config import TrainingConfig
from feilun.errors import EnvironmentProblem, InvalidSettings, UsageError
from feilun.training.body import describe
from feilun.training.job import DataStats, Machine, TrainJob
from feilun.training.machine import look
from feilun.training.plan import AUTO, Plan, plan
from feilun.training.settings import method, methods, resolve
from helpers.bert import write_bert

GIB = 2**30
STATS = DataStats(3000, 300, 300, {"bad": 1500, "great": 1500}, mean_cost=90, max_cost=256)
MACHINE = Machine(2, 16 * GIB, 100 * GIB, 5e11, "bf16", has_torch=True)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("base"))


def planned(
    wanted: str,
    base: Path | str | None,
    *,
    stats: DataStats = STATS,
    machine: Machine = MACHINE,
    previous: Path | None = None,
    new_rows: int = 0,
    task: str = "text-classification",
    **config: Any,
) -> Plan:
    settings = TrainingConfig(**config)
    job = TrainJob("", task, Path("d"), base, Path("o"), Path("s"), previous)
    job = replace(job, new_rows=tuple(map(str, range(new_rows))))
    return plan(wanted, job, settings, resolve(settings), stats, machine)


def names(found: Plan) -> list[str]:
    return [stage.method for stage in found.stages]


def test_what_took_longer_before_is_planned_longer(base: Path) -> None:
    settings, job = (
        TrainingConfig(),
        TrainJob("", "text-classification", Path("d"), base, Path("o"), Path("s")),
    )
    [_, *above] = plan("full", job, settings, resolve(settings), STATS, MACHINE).stages
    [_, *slower] = plan(
        "full", job, settings, resolve(settings), STATS, MACHINE, {"full": 3.0}
    ).stages
    assert slower[0].estimate.seconds == pytest.approx(3 * above[0].estimate.seconds)


def test_copies_are_counted_and_are_the_first_to_go(base: Path) -> None:
    few = replace(STATS, train=1000, labels={"bad": 500, "great": 500})
    tried = planned("linear", base, stats=few).stages[0]
    without = planned("linear", base, stats=few, augment="off").stages[0]
    assert tried.estimate.seconds > 1.2 * without.estimate.seconds
    assert tried.estimate.detail["rows"] == 2000
    slow = replace(MACHINE, flops=2e8)
    whole = planned("full", base, stats=few, machine=slow).stages[-1].estimate.seconds
    hurried = planned("full", base, stats=few, machine=slow, time_limit=0.8 * whole / 60)
    assert hurried.stages[-1].settings["augment"] == "off"
    assert hurried.stages[-1].settings["epochs"] == 2
    assert "augment" in hurried.notes[-1]
    named = planned("full", base, stats=few, machine=slow, augment=["typo"], time_limit=whole)
    assert named.stages[-1].settings["augment"] == ["typo"], "asked for by name"


def test_methods_stand_from_the_lowest_stage_to_the_highest() -> None:
    stages = [method(name).order for name in methods()]
    assert stages == sorted(stages)
    of_texts = [
        name for name in methods() if name in ("full", "head", "linear", "lora", "stack", "trees")
    ]
    assert of_texts == ["linear", "head", "stack", "trees", "lora", "full"]


def test_auto_fine_tunes_what_a_network_learns(base: Path) -> None:
    """Nothing counts features of words one by one, so that spans have no stack; they need more
    passes."""
    pairs = planned(AUTO, base, task="text-pair-classification")
    assert names(pairs) == ["linear", "stack", "full"]
    assert names(planned(AUTO, base, task="text-tagging")) == ["linear", "stack", "full"]
    spans = planned(AUTO, base, task="token-classification")
    assert names(spans) == ["crf", "head", "full"]
    assert pairs.notes == spans.notes == ()
    used = [(plan.stages[-1].settings["epochs"], plan.stages[-1].settings["batch_rows"])
            for plan in (pairs, spans)]  # fmt: skip
    assert used == [(2, 64), (3, 8)]


def test_spans_take_larger_steps_by_all_weights_and_usual_ones_by_adapters(base: Path) -> None:
    def rate(method: str, task: str) -> float:
        found = planned(method, base, task=task).stages[-1].settings["learning_rate"]
        assert isinstance(found, float)
        return found

    pairs, spans = "text-pair-classification", "token-classification"
    assert rate("full", spans) == pytest.approx(2 * rate("full", pairs))
    assert rate("lora", spans) == rate("lora", pairs)


def test_auto_trains_every_stage_and_leaves_nothing_open(base: Path) -> None:
    found = planned(AUTO, base)
    assert names(found) == ["linear", "stack", "full"]
    assert found.notes == ()
    assert found.stages[-1].settings["epochs"] == 2
    assert found.stages[-1].settings["learning_rate"] > 0
    assert all(stage.why_key and stage.estimate.seconds > 0 for stage in found.stages)
    messages.use("zh")
    assert "线性基线" in messages.t(planned(AUTO, base).stages[0].why_key)


@pytest.mark.parametrize(
    ("change", "stages", "note"),
    [
        ({"base": None}, ["linear"], "no base model"),
        ({"machine": replace(MACHINE, has_torch=False)}, ["linear"], "torch"),
        ({"stats": replace(STATS, train=30)}, ["linear"], "30 training rows"),
        ({"stats": replace(STATS, train=100)}, ["linear", "stack"], "about 200"),
        ({"base": "scratch:resnet"}, ["linear", "full"], ""),
    ],
    ids=["no base", "no torch", "few rows", "some rows", "from nothing"],
)
def test_auto_says_why_it_stops(
    base: Path, change: dict[str, Any], stages: list[str], note: str
) -> None:
    found = planned(AUTO, **{"base": base, **change})
    assert names(found) == stages
    assert note in " ".join(found.notes)


def limited(base: Path, share: float, **more: Any) -> tuple[Plan, float]:
    """The plan of full training on a slow machine, with `share` of the time that it would take
    beside what the baseline takes; and the seconds that it had."""
    more = {"machine": replace(MACHINE, flops=2e8), **more}
    free = planned("full", base, **more).stages
    seconds = free[0].estimate.seconds + share * free[-1].estimate.seconds
    return planned("full", base, **more, time_limit=seconds / 60), seconds


def test_a_time_limit_becomes_epochs_then_rows(base: Path) -> None:
    fewer, _ = limited(base, 0.5, epochs=8, frozen_layers="none")
    assert 1 < fewer.stages[-1].settings["epochs"] < 8
    assert fewer.stages[-1].settings["max_rows"] is None
    assert "epochs" in fewer.notes[0]
    many = replace(STATS, train=12_000)
    little, seconds = limited(base, 1 / 12, epochs=8, stats=many, frozen_layers="none")
    assert little.stages[-1].settings["epochs"] == 1
    assert 6000 < little.stages[-1].settings["max_rows"] < 12_000
    assert sum(stage.estimate.seconds for stage in little.stages) <= seconds


def test_what_is_left_of_the_time_freezes_lower_layers_before_it_drops_epochs(base: Path) -> None:
    found, _ = limited(base, 0.9, epochs=8)
    settings = found.stages[-1].settings
    assert (settings["frozen_layers"], settings["epochs"]) == (1, 8)
    assert "frozen_layers" in " ".join(found.notes)
    whole = planned("full", base).stages[-1].settings
    assert whole["frozen_layers"] == "none", "there is time for all layers"
    asked, _ = limited(base, 0.9, epochs=8, frozen_layers="none")
    assert asked.stages[-1].settings["frozen_layers"] == "none"
    assert asked.stages[-1].settings["epochs"] < 8
    # Where epochs and step size are open, fewer weights learn longer, in larger steps.
    usual = planned("full", base).stages[-1].settings
    settled = planned("full", base, frozen_layers=1).stages[-1].settings
    assert (usual["epochs"], settled["epochs"]) == (2, 3)
    assert settled["learning_rate"] == 2 * usual["learning_rate"]
    own = planned("full", base, frozen_layers=1, learning_rate=1e-5, epochs=1).stages[-1].settings
    assert (own["epochs"], own["learning_rate"]) == (1, 1e-5)


def test_a_plan_that_would_learn_nothing_gives_way_to_a_smaller_learner(base: Path) -> None:
    """Cut to a tenth of its steps a network learns nothing of some labels."""
    with pytest.raises(EnvironmentProblem) as caught:
        limited(base, 0.1)
    assert "steps" in str(caught.value)
    assert "stack" in caught.value.params["options"]
    slow = replace(MACHINE, flops=2e8)
    free = planned(AUTO, base, machine=slow)
    below = sum(stage.estimate.seconds for stage in free.stages[:-1])
    seconds = below + 0.1 * free.stages[-1].estimate.seconds
    found = planned(AUTO, base, machine=slow, time_limit=seconds / 60)
    assert names(found) == ["linear", "stack"]
    assert any("steps" in note for note in found.notes)
    # Few rows make few steps, and more than that is not asked of them.
    few = planned("full", base, stats=replace(STATS, train=300)).stages[-1]
    assert few.estimate.detail["steps"] < 100
    # What goes on from a version knows its labels.
    update = planned("full", None, previous=base, new_rows=100, machine=slow, time_limit=2)
    assert names(update) == ["full"]


def test_no_time_at_all_is_refused_with_what_fits(base: Path) -> None:
    slow = replace(MACHINE, flops=1e7)
    with pytest.raises(EnvironmentProblem) as caught:
        planned("full", base, machine=slow, time_limit=1)
    assert caught.value.code == "training.does_not_fit"
    assert "minutes" in str(caught.value)
    assert "linear" in caught.value.params["options"]
    found = planned(AUTO, base, machine=slow, time_limit=1)
    assert names(found) == ["linear"]
    # What the limit leaves unused is said beforehand, with a limit that is of use.
    (said,) = [note for note in found.notes if "of the 60 s that it may" in note]
    minutes, method = re.findall(r"time_limit = (\d+) lets (\w+) in", said)[0]
    assert method in names(planned(AUTO, base, machine=slow, time_limit=int(minutes)))


def test_little_memory_means_small_batches_and_more_of_them(base: Path) -> None:
    need = planned("full", base).stages[-1].estimate.memory_bytes
    tight = replace(MACHINE, memory_bytes=int((need - 5e6) / 0.85))
    settings = planned("full", base, machine=tight).stages[-1].settings
    assert settings["batch_rows"] < 64
    assert settings["batch_rows"] * settings["accumulation"] == 64


def test_what_no_batch_can_fit_is_refused(base: Path) -> None:
    with pytest.raises(EnvironmentProblem) as caught:
        planned("full", base, machine=replace(MACHINE, memory_bytes=GIB // 2))
    assert "GiB of memory" in str(caught.value)
    with pytest.raises(EnvironmentProblem, match="disk"):
        planned("full", base, machine=replace(MACHINE, disk_bytes=1000))


@pytest.fixture
def large(base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base that is described as one of two billion parameters."""
    from feilun.training import adapters, finetune

    found = replace(describe(base), parameters=2_000_000_000, active=1_900_000_000)
    for module in (finetune, adapters):
        monkeypatch.setattr(module, "describe", lambda folder: found)
    return base


def test_adapters_take_the_place_of_a_base_that_is_too_large(large: Path) -> None:
    roomy = replace(MACHINE, memory_bytes=24 * GIB, flops=1e15)
    assert names(planned(AUTO, large, machine=roomy))[-1] == "lora"


def test_adapters_do_not_take_the_place_of_what_takes_too_long(large: Path) -> None:
    """They save memory; where the time is short they would end as a training of too few steps."""
    slow = replace(MACHINE, memory_bytes=500 * GIB, disk_bytes=500 * GIB, flops=1e12)
    whole = planned(AUTO, large, machine=slow)
    assert names(whole) == ["linear", "stack", "full"]
    first, second, third = (stage.estimate.seconds for stage in whole.stages)
    for share in (0.7, 0.8, 0.9):
        rest = share * third
        found = planned(AUTO, large, machine=slow, time_limit=(first + second + rest) / 60)
        assert names(found) == ["linear", "stack"]
        asked = planned("lora", large, machine=slow, time_limit=(first + rest) / 60)
        assert names(asked) == ["linear", "lora"], "they would have fitted"


@pytest.mark.parametrize("method", ["head", "lora", "full"])
def test_a_method_without_a_base_is_refused(method: str) -> None:
    with pytest.raises(UsageError) as caught:
        planned(method, None)
    assert caught.value.code == "training.method_needs_base"
    assert "linear" in caught.value.hint("en")


def test_a_method_that_needs_no_base_is_one_of_the_task() -> None:
    with pytest.raises(UsageError) as caught:
        planned("foundation", None, task="forecasting")
    for lang in messages.LANGUAGES:
        said = caught.value.hint(lang)
        assert "seasonal-naive" in said
        assert "linear" not in said


@pytest.mark.parametrize("method", ["head", "lora"])
def test_nothing_frozen_begins_from_nothing(method: str) -> None:
    with pytest.raises(UsageError) as caught:
        planned(method, "scratch:vit")
    assert caught.value.code == "training.needs_folder"


def test_auto_does_not_try_what_is_excluded(base: Path) -> None:
    whole = names(planned(AUTO, base))
    found = planned(AUTO, base, exclude=["head", "linear"])
    assert names(found) == [name for name in whole if name != "head"], "the baseline is trained"
    assert found.notes[0] == "head was left out: [training] exclude names it"
    adapters = planned(AUTO, base, exclude=["full"])
    assert names(adapters)[-1] == "lora", "what took its place anyway may be tried alone"
    assert names(planned("head", base, exclude=["head"]))[-1] == "head", "asked for by name"
    with pytest.raises(UsageError):
        planned(AUTO, base, exclude=["astrology"])


def test_an_unknown_method_lists_the_options(base: Path) -> None:
    with pytest.raises(UsageError, match="linear"):
        planned("magic", base)


def test_an_update_costs_its_new_rows_and_as_many_old_ones(base: Path) -> None:
    large = replace(STATS, train=300_000)
    whole = planned("full", None, previous=base, stats=large).stages[0].estimate
    update = planned("full", None, previous=base, stats=large, new_rows=100).stages[0].estimate
    assert whole.detail["rows"] == 300_000
    assert update.detail["rows"] == 200
    assert update.seconds < whole.seconds / 5  # what it costs to begin stays
    few = planned("full", None, previous=base, new_rows=2000).stages[0].estimate
    assert few.detail["rows"] == 3000  # no more than there are
    # What does not fit the time is made smaller from these rows on, not from all.
    tight = planned(
        "full", None, previous=base, stats=large, new_rows=50_000, time_limit=whole.seconds / 900
    )
    assert 200 <= tight.stages[0].settings["max_rows"] < 100_000


def test_an_update_is_one_stage(base: Path) -> None:
    found = planned("full", None, previous=base)
    assert names(found) == ["full"]
    assert found.stages[0].why_key == "training.why_update"


class TestSettings:
    """``[training]`` and ``[training.METHOD]``."""

    def test_a_shared_setting_reaches_every_method_that_has_it(self) -> None:
        found = resolve(TrainingConfig(epochs=4, lora={"epochs": 7}, class_weights="balanced"))
        assert found["full"].model_dump()["epochs"] == 4
        assert found["lora"].model_dump()["epochs"] == 7
        assert all(settings.class_weights == "balanced" for settings in found.values())

    def test_all_faults_are_named_together(self) -> None:
        config = TrainingConfig(
            epocs=4,
            full={"epochs": 0, "speed": 1, "frozen_layers": "some"},
            lora=3,
            linear={"strength": -1},
        )
        with pytest.raises(InvalidSettings) as caught:
            resolve(config)
        faults = "\n".join(caught.value.params["faults"])
        for name in ("epocs", "full.epochs", "full.speed", "training.lora", "linear.strength"):
            assert name in faults
        (frozen,) = (one for one in faults.splitlines() if "frozen" in one)
        assert frozen.startswith("training.full.frozen_layers ('some'): must be 'auto' or 'none'")

    def test_every_setting_is_described(self) -> None:
        for name, settings in resolve(TrainingConfig()).items():
            for field, info in type(settings).model_fields.items():
                assert info.description, f"{name}.{field}"


def test_this_machine_is_looked_at(tmp_path: Path) -> None:
    found = look(tmp_path / "not" / "yet", threads=1, memory_limit=1.0)
    assert found.cores == 1
    assert found.memory_bytes <= GIB
    assert found.flops > 1e8
    assert Machine.from_json(found.to_json()) == found


def test_the_size_of_a_base_is_read_off_its_files(base: Path) -> None:
    body = describe(base)
    assert body.width == 32
    assert body.layers == 2
    assert 0 < body.active < body.parameters
    assert body.forward(200) > 2 * body.forward(100)
