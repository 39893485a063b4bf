"""Perturbed embeddings, two draws of dropout, moving averages: what a step does, trainings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from feilun.engines.base import open_engine
from feilun.errors import UsageError
from feilun.families.classes import CLASSES
from feilun.families.numbers import NUMBERS
from feilun.families.tags import TAGS
from feilun.store.dataset import Dataset
from feilun.training.methods.full import Settings
from feilun.training.robust import Average, Robust, passes
from feilun.types import Progress
from helpers.bert import write_bert
from helpers.jobs import job_for, train, write_dataset

FAST: Mapping[str, Any] = {
    "epochs": 6,
    "learning_rate": 3e-3,
    "batch_rows": 8,
    "patience": 6,
    "precision": "fp32",
    "augment": "off",
    "adversarial_epsilon": 0.02,
    "checkpoint_seconds": 1000,
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize(
    "more",
    [
        {"adversarial": "fgm"},
        pytest.param(
            {"adversarial": "pgd", "adversarial_steps": 2, "frozen_layers": 1},
            marks=pytest.mark.slow,
        ),
        pytest.param({"adversarial": "freelb", "adversarial_steps": 2}, marks=pytest.mark.slow),
        pytest.param({"r_drop": 1.0, "dropout": 0.1}, marks=pytest.mark.slow),
        pytest.param({"ema": 0.9}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_each_is_a_setting_and_learns(
    base: Path, data: Path, tmp_path: Path, more: dict[str, Any]
) -> None:
    job = job_for("full", data, tmp_path, base, settings={**FAST, **more})
    train(job)
    engine = open_engine(job.out, threads=1)
    raw = engine.raw(Dataset(data).items("test"))
    engine.close()
    assert (raw.argmax(axis=1) == Dataset(data).labels("test")).mean() > 0.7


@pytest.mark.slow
def test_a_killed_training_goes_on_as_it_would_have(base: Path, data: Path, tmp_path: Path) -> None:
    """Averages and drawn shifts are those of a training that nobody killed."""
    settings = {**FAST, "epochs": 1, "adversarial": "freelb", "ema": 0.8, "checkpoint_steps": 3}
    whole = job_for("full", data, tmp_path / "whole", base, settings=settings)
    train(whole)
    killed = job_for("full", data, tmp_path / "killed", base, settings=settings)

    def report(progress: Progress) -> None:
        if progress.unit == "steps" and progress.done >= 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(killed, report)
    assert train(killed).figures["resumed_from_step"] > 0
    again = load_file(killed.out / "model.safetensors")
    for name, tensor in load_file(whole.out / "model.safetensors").items():
        np.testing.assert_array_equal(tensor, again[name], err_msg=name)


class Line:
    """A network of one weight a place, a batch, and the passes that a step made."""

    def __init__(self, **settings: Any) -> None:
        import torch

        objective = CLASSES.objective(np.zeros(2, np.int64), ("a", "b"), Settings())
        self.robust = Robust(Settings(**settings), objective)
        self.weight = torch.tensor([1.0, -2.0, 0.5], requires_grad=True)
        self.rows = torch.tensor([[3.0, 0.0, 4.0], [0.6, 0.8, 0.0]])
        self.seen: list[Any] = []

    def parameters(self) -> list[Any]:
        return [self.weight]

    def plain(self) -> Any:
        hidden = self.robust.entered(self.rows.clone())
        self.seen.append(hidden.detach().clone())
        loss = (hidden @ self.weight).sum() * self.robust.loss(
            self.weight.new_ones(()), hidden, hidden, 1
        )
        loss.backward()
        return loss.detach()


def test_a_shift_rises_the_loss_as_far_as_allowed() -> None:
    line = Line(adversarial="fgm", adversarial_epsilon=0.1)
    loss = line.robust.step(line.plain, line)
    assert loss.item() == pytest.approx(4.0)
    before, after = line.seen
    np.testing.assert_allclose(before, line.rows)
    direction = line.weight.detach() / line.weight.detach().norm()
    # A tenth of each row's length: 5 and 1.
    np.testing.assert_allclose(after - before, np.array([[0.5], [0.1]]) * direction.numpy(), 1e-5)
    # Both passes teach.
    np.testing.assert_allclose(line.weight.grad, (before + after).sum(0), 1e-5)


def test_of_pgd_the_first_and_the_last_pass_teach_and_of_freelb_all() -> None:
    line = Line(adversarial="pgd", adversarial_steps=3, adversarial_epsilon=0.1)
    line.robust.step(line.plain, line)
    assert len(line.seen) == 4
    np.testing.assert_allclose(line.weight.grad, (line.seen[0] + line.seen[-1]).sum(0), 1e-5)
    reached = (line.seen[-1] - line.seen[0]).norm(dim=1)
    np.testing.assert_allclose(reached, [0.5, 0.1], 1e-5)
    line = Line(adversarial="freelb", adversarial_steps=3, adversarial_epsilon=0.1)
    line.robust.step(line.plain, line)
    assert len(line.seen) == 3
    np.testing.assert_allclose(line.weight.grad, sum(one.sum(0) for one in line.seen) / 3, 1e-5)
    assert all(((one - line.rows).norm(dim=1) <= line.rows.norm(dim=1) * 0.1001).all()
               for one in line.seen)  # fmt: skip


def test_what_a_step_costs() -> None:
    costs: dict[Any, int] = {"none": 1, "fgm": 2, "pgd": 4, "freelb": 3}
    for kind, cost in costs.items():
        assert passes(Settings(adversarial=kind)) == cost
    assert passes(Settings(r_drop=0.5, dropout=0.1)) == 2
    assert passes(SimpleNamespace()) == 1, "a method without these settings"


def test_two_draws_of_dropout_need_dropout(base: Path, data: Path, tmp_path: Path) -> None:
    job = job_for("full", data, tmp_path, base, settings={**FAST, "r_drop": 1.0})
    with pytest.raises(UsageError, match="dropout is 0"):
        train(job)


def test_equal_answers_are_not_apart_whatever_the_family() -> None:
    import torch

    from feilun.families.objective import IGNORED

    torch.manual_seed(0)
    classes = CLASSES.objective(np.zeros(3, np.int64), ("a", "b"), Settings())
    numbers = NUMBERS.objective(np.array([1.0, 2.0, 3.0]), (), Settings())
    tags = TAGS.objective(np.zeros((3, 3), np.int64), ("a", "b"), Settings())
    for objective, width in ((classes, 2), (numbers, 1), (tags, 2)):
        one, other = torch.randn(3, width), torch.randn(3, width)
        truth = torch.zeros(3) if objective is not tags else torch.zeros(3, 2)
        assert objective.divergence(one, one, truth).item() == 0
        apart = objective.divergence(one, other, truth).item()
        assert apart > 0
        assert apart == pytest.approx(objective.divergence(other, one, truth).item(), rel=1e-5)
    one, other = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    truth = torch.full((2, 4), IGNORED)
    truth[0, 1] = 2
    alone = classes.divergence(one[:1, 1], other[:1, 1], truth[:1, 1])
    assert classes.divergence(one, other, truth).item() == pytest.approx(alone.item(), rel=1e-5)


def test_averages_follow_the_weights() -> None:
    import torch

    model: Any = torch.nn.Linear(1, 1, bias=False)
    average = Average(0.5)
    for step, weight in enumerate((1.0, 2.0, 4.0), 1):
        with torch.no_grad():
            model.weight.fill_(weight)
        average.update(model, step)
    # Decays of steps 2 and 3: 3 / 12 and 4 / 13, which are below .5.
    expected = (1.0 * 3 / 12 + 2.0 * 9 / 12) * 4 / 13 + 4.0 * 9 / 13
    average.swap(model)
    assert model.weight.item() == pytest.approx(expected)
    average.swap(model)
    assert model.weight.item() == 4.0
