"""A language model learns from pairs which of two answers is wanted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feilun.engines.base import open_engine
from feilun.errors import Conflict, FeilunError, InvalidData, NotFound, UsageError
from feilun.store.dataset import DatasetWriter
from feilun.tasks import base as tasks
from feilun.training.job import TrainJob
from feilun.training.preferences import Preference, digest, read_pairs
from feilun.training.settings import method
from feilun.types import Example, Schema
from helpers.bert import write_bert
from helpers.jobs import train
from helpers.llama import SHOP, write_causal
from helpers.pairs import write_pair

PAIRS = [(asked, said, f"No idea about {asked[:8]}") for asked, said in SHOP[:12]]
FAST = {"epochs": 4, "learning_rate": 5e-3, "batch_rows": 4, "precision": "fp32"}


def write_pairs(file: Path, rows: list[Any]) -> Path:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dpo")
    write_causal(folder / "base")
    with DatasetWriter(folder / "data", {"messages": "text"}) as writer:
        for number, (asked, said) in enumerate(SHOP[:4]):
            writer.add(Example(f"row-{number}", asked, said, "train"))
        writer.close(Schema("chat", (), tasks.get("chat").Settings().model_dump()))
    names = ("prompt", "chosen", "rejected")
    write_pairs(folder / "pairs.jsonl", [dict(zip(names, one, strict=True)) for one in PAIRS])
    return folder


def job_for(folder: Path, out: Path, **settings: Any) -> TrainJob:
    for name in ("out", "scratch"):
        (out / name).mkdir(parents=True, exist_ok=True)
    given = {**FAST, "pairs": str(folder / "pairs.jsonl"), **settings}
    return TrainJob(
        "dpo", "chat", folder / "data", folder / "base", out / "out", out / "scratch",
        settings=given, threads=1, seed=7,
    )  # fmt: skip


def test_the_chosen_answers_gain_on_the_rejected_ones(folder: Path, tmp_path: Path) -> None:
    from feilun.engines.card import read_card, write_card

    job = job_for(folder, tmp_path)
    result = train(job)
    assert result.figures["rows"] == len(PAIRS)
    assert (job.out / "adapter").is_dir()
    after = open_engine(job.out, threads=1)
    margins = []
    for prompt, chosen, rejected in PAIRS:
        better, worse = (after.likelihood(prompt, one)[0] for one in (chosen, rejected))  # type: ignore[attr-defined]
        margins.append(better - worse)
    after.close()
    # The model that it began from, served as the taught one is.
    import shutil

    untaught = tmp_path / "untaught"
    shutil.copytree(job.out, untaught)
    shutil.copyfile(folder / "base" / "model.safetensors", untaught / "model.safetensors")
    write_card(untaught, read_card(job.out))
    before = open_engine(untaught, threads=1)
    gained = []
    for margin, (prompt, chosen, rejected) in zip(margins, PAIRS, strict=True):
        better, worse = (before.likelihood(prompt, one)[0] for one in (chosen, rejected))  # type: ignore[attr-defined]
        gained.append(margin - (better - worse))
    before.close()
    assert min(gained) > 0
    assert np.mean(gained) > 5


def test_the_loss_is_the_one_of_the_paper() -> None:
    """Equation 7 of the paper, written out."""
    import torch

    outputs = torch.tensor([[-3.0, -5.0, 4.0], [-2.0, -1.0, 2.0]])
    began = torch.tensor([[-4.0, -4.5], [-2.0, -2.5]])
    margins = 0.3 * torch.tensor([(-3 + 4) - (-5 + 4.5), 0 - (-1 + 2.5)])
    wanted = 2 * (-torch.nn.functional.logsigmoid(margins)).sum()
    objective = Preference(0.3, 0.0)
    torch.testing.assert_close(objective.loss(outputs, began), wanted)
    assert objective.right(outputs, began) == (1, 2)
    measured, loss = objective.validated(outputs.numpy(), began.numpy())
    assert loss == pytest.approx(float(wanted) / 4)
    assert measured.hits("preferred").tolist() == [True, False]  # type: ignore[union-attr]
    imitated = Preference(0.3, 0.5).loss(outputs, began) - wanted
    assert float(imitated) == pytest.approx(2 * 0.5 * (3 / 4 + 2 / 2))


def test_pairs_are_read_in_the_forms_that_files_have(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "Hi"}]
    said = [[*talk, {"role": "assistant", "content": one}] for one in ("Yes", "No")]
    rows = [
        {"prompt": "Hi", "chosen": "Yes", "rejected": "No"},
        {"chosen": said[0], "rejected": said[1]},
        {"prompt": talk, "chosen": said[0][1:], "rejected": said[1][1:]},
        {"问题": "你好", "选中": "您好！", "拒绝": "嗯"},
    ]
    found = read_pairs(write_pairs(tmp_path / "p.jsonl", rows))
    assert found[:3] == [("Hi", "Yes", "No")] * 3
    assert found[3] == ("你好", "您好！", "嗯")


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"prompt": "Hi", "chosen": "Yes"}, "rejected"),
        ({"chosen": "Yes", "rejected": "No"}, "prompt"),
        ({"prompt": "Hi", "chosen": "Yes", "rejected": "Yes"}, "chosen = rejected"),
        ({"prompt": "Hi", "chosen": 5, "rejected": "Yes"}, "chosen"),
        ([1], "list"),
    ],
)
def test_a_line_that_is_no_pair_is_named(tmp_path: Path, row: Any, what: str) -> None:
    good = {"prompt": "Hi", "chosen": "Yes", "rejected": "No"}
    file = write_pairs(tmp_path / "p.jsonl", [good, row])
    with pytest.raises(InvalidData) as caught:
        read_pairs(file)
    assert (caught.value.params["line"], caught.value.params["what"]) == (2, what)


def test_files_that_are_none_are_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_pairs(tmp_path / "none.jsonl")
    with pytest.raises(InvalidData, match="no pairs"):
        read_pairs(write_pairs(tmp_path / "empty.jsonl", []))
    cases: list[tuple[type[FeilunError], dict[str, Any]]] = [
        (UsageError, {"pairs": ""}),
        (NotFound, {"pairs": str(tmp_path / "none.jsonl")}),
        (Conflict, {"pairs_sha256": "0" * 64}),
    ]
    chosen = method("dpo")
    for kind, settings in cases:
        job = job_for(folder, tmp_path / "job", **settings)
        with pytest.raises(kind):
            train(job)
    settled: Any = chosen
    found = settled.settle(
        job_for(folder, tmp_path), chosen.Settings(pairs=f"{folder}/pairs.jsonl")
    )
    assert found.pairs_sha256 == digest(folder / "pairs.jsonl")


def test_it_teaches_causal_language_models_alone(folder: Path, tmp_path: Path) -> None:
    chosen = method("dpo")
    assert chosen.supports(tasks.get("chat"), folder / "base") is None
    assert chosen.supports(tasks.get("text-classification"), None)
    assert chosen.supports(tasks.get("chat"), write_bert(tmp_path / "bert"))
    assert chosen.supports(tasks.get("translation"), write_pair(tmp_path / "t5"))
