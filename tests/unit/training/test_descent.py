"""Steps down a loss, and rows of like length that are computed together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from feilun.errors import UsageError
from feilun.tasks import base as tasks
from feilun.training.descent import Descent, answers
from helpers.bert import write_bert
from helpers.rows import reviews


def test_rows_of_like_length_give_what_all_together_give(tmp_path: Path) -> None:
    task, base = tasks.get("text-similarity"), write_bert(tmp_path)
    texts = [text * (1 + number % 5) for number, (text, _) in enumerate(reviews(40))]
    processor, module = task.processor(base, {"max_length": 64}), task.encoder(base)
    encoded = processor.encode(texts)
    whole = {name: torch.from_numpy(one) for name, one in processor.collate(encoded).items()}
    with torch.inference_mode():
        found, wanted = answers(module, processor, encoded, half=False), module(**whole)
    assert len({one.cost for one in encoded}) > 5
    assert torch.allclose(found, wanted, atol=1e-5)


def test_the_step_size_rises_and_falls_and_what_is_no_number_is_told() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(layer.weight, 1.0)
    descent = Descent(layer, rate=0.01, steps=40)
    ways = []
    for _ in range(40):
        before = layer.weight.item()
        loss = layer(torch.ones(1, 1)).sum()
        assert descent.step(loss) == pytest.approx(before)
        ways.append(before - layer.weight.item())
    assert np.argmax(ways) == 3  # a tenth of the steps
    assert ways[0] == pytest.approx(ways[3] / 4, rel=0.05)
    assert ways[-1] < 0.1 * ways[3]
    last = layer.weight.item()
    with pytest.raises(UsageError, match=r"0\.01"):
        descent.step(layer(torch.full((1, 1), torch.nan)).sum())
    assert layer.weight.item() == last
