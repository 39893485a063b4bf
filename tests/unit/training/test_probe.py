"""Where fine-tuning begins: the last layer as a linear probe of the base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from feilun.families.objective import IGNORED
from feilun.modalities.checkpoints import knows
from feilun.tasks import base as tasks
from feilun.training import heads, probe
from feilun.training.batches import EncodedRows, Labelled
from feilun.training.rows import Rows
from feilun.training.settings import method
from feilun.training.standardise import spreads
from feilun.types import Schema
from helpers.bert import write_bert
from helpers.rows import reviews

SPANS, CLASSES = "token-classification", "text-classification"
SETTINGS: dict[str, dict[str, Any]] = {SPANS: {"max_length": 32, "feature_bits": 12}, CLASSES: {}}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("base"))


def lesson(name: str, base: Path, labels: tuple[str, ...]) -> tuple[Any, EncodedRows, Any, Any]:
    """The model, rows, objective and the arrays of all rows of a task."""
    task, found = tasks.get(name), reviews(120)
    schema = Schema(name, labels, SETTINGS[name])
    items = [text for text, _ in found]
    if name == SPANS:
        targets = [task.family.target([(0, 3, "EN" if text.isascii() else "ZH")]) for text in items]
    else:
        targets = [label for _, label in found]
    truth = task.family.truth(targets, labels)
    objective = task.family.objective(truth, labels, method("full").Settings(), truth)
    processor = task.processor(base, schema.settings)
    rows = EncodedRows(Rows(items, truth), Labelled(processor, objective))
    torch.manual_seed(0)
    model: Any = task.load(base, schema).model
    return model, rows, objective, rows.collate([rows[n] for n in range(len(rows))])


LABELS = {SPANS: ("EN", "ZH"), CLASSES: tuple(sorted({label for _, label in reviews(120)}))}


@pytest.mark.parametrize("name", LABELS)
def test_the_last_layer_is_the_logistic_regression_of_what_it_is_given(
    name: str, base: Path
) -> None:
    model, rows, objective, batch = lesson(name, base, LABELS[name])
    assert probe.fit(model, rows, objective, 10**6, False, 0, lambda progress: None)
    targets = batch.pop("labels")
    head = model.get_submodule(heads.name_of(model))
    given: list[torch.Tensor] = []
    handle = head.register_forward_hook(lambda layer, args, output: given.append(args[0]))
    with torch.no_grad():
        logits = model(**batch).logits
    handle.remove()
    counts = targets != IGNORED
    vectors, truth = given[0][counts].numpy(), targets[counts].numpy()
    mean, scale = vectors.mean(axis=0), spreads(vectors)
    strength = 1 / (0.01 * len(truth))
    if head.out_features == 2:  # of two classes scikit-learn fits the difference alone
        strength *= 2
    peer = LogisticRegression(C=strength, tol=1e-6, max_iter=1000)
    peer.fit((vectors - mean) / scale, truth)
    wanted = peer.predict_proba((vectors - mean) / scale)
    found = logits[counts].softmax(-1).numpy()[:, np.unique(truth)]
    assert np.abs(found - wanted).max() < 0.02


def test_outputs_that_no_linear_layer_gives_are_left(base: Path) -> None:
    model, rows, objective, _ = lesson(SPANS, base, ("EN", "ZH"))
    head = model.get_submodule(heads.name_of(model))
    before = head.weight.detach().clone()

    def doubled(layer: Any, args: Any, output: Any) -> Any:
        output.logits = 2 * output.logits
        return output

    model.register_forward_hook(doubled)
    assert not probe.fit(model, rows, objective, 10**6, False, 0, lambda progress: None)
    assert torch.equal(head.weight, before)


def test_a_network_knows_the_outputs_of_its_own_head(base: Path, tmp_path: Path) -> None:
    task = tasks.get(SPANS)
    names = task.family.outputs(("EN", "ZH"))
    assert not knows(base, names)  # a bare encoder
    model: Any = task.load(base, Schema(SPANS, ("EN", "ZH"), SETTINGS[SPANS])).model
    model.save_pretrained(tmp_path)
    assert knows(tmp_path, names)
    assert knows(tmp_path, task.family.outputs(("EN", "ORG", "ZH")))
    assert not knows(tmp_path, task.family.outputs(("EN", "ORG")))
