"""A language model goes round the wheel: taught from a shop's answers, compressed, proven, live."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from feilun.errors import UsageError
from feilun.project import Project, Workspace
from helpers.llama import SHOP, write_causal

TRAINING = """
[training.full]
epochs = 16
learning_rate = 6e-3
batch_rows = 4
precision = "fp32"

[compression]
variants = ["q8_0"]

[evaluation]
robustness = false
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    base = write_causal(tmp_path_factory.mktemp("base") / "tiny")
    file = tmp_path_factory.mktemp("data") / "faq.jsonl"
    # The same answers to questions in other words: what is held out can be known.
    rows = [
        {"question": ask.format(question), "answer": answer}
        for question, answer in SHOP
        for ask in ("{}", "{} please", "hello, {}", "{} thanks")
    ]
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    with Workspace(tmp_path_factory.mktemp("workspace")) as workspace:
        project = workspace.init("shop", task="chat", base=str(base))
        settings = project.file.read_text("utf-8")
        project.file.write_text(f"{settings}\n{TRAINING}", "utf-8")
        project.add(file)
        yield project


def test_what_is_learnt_is_shown_before(shop: Project) -> None:
    (first, *_) = shop.show(rows=3, rendered=True).rows
    text = str(first["text"])
    assert text.startswith("<|im_start|>user\n")
    ((begin, end),) = first["learnt"]
    assert text[begin:end].endswith("<|im_end|>")
    assert text[:begin].endswith("<|im_start|>assistant\n")
    assert f"⟦{text[begin:end]}⟧" in first["marked"]


def test_what_would_teach_nothing_is_named_row_by_row(tmp_path: Path) -> None:
    base = write_causal(tmp_path / "tiny")
    file = tmp_path / "faq.jsonl"
    rows = [
        {"id": f"q{n}", "question": f"What is {n}?", "answer": f"{n} " * (200 if n % 2 else 1)}
        for n in range(20)
    ]
    file.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    with Workspace(tmp_path / "w") as workspace:
        project = workspace.init("shop", task="chat", base=str(base))
        with project.file.open("a", encoding="utf-8") as settings:
            settings.write("\n[task]\nmax_length = 64\n")
        project.add(file)
        shown = project.show(rows=20, rendered=True).rows
        taught = [one for one in shown if one["learnt"]]
        assert all(int(str(one["row"])[1:]) % 2 == 0 for one in taught)
        left_out = shown[len(taught) :]
        assert len(left_out) > 2
        assert all(int(str(one["row"])[1:]) % 2 for one in left_out)
        assert all("64" in str(one["reason"]) for one in left_out)
        one, *rest = project.show(rows=1, rendered=True).rows
        assert [each for each in (one, *rest) if not each["learnt"]] == left_out


@pytest.mark.slow
def test_a_taught_model_goes_live(shop: Project, tmp_path: Path) -> None:
    turned = shop.run(method="full")
    memory, taught = turned.stages
    assert (memory.method, taught.method) == ("memory", "full")
    assert taught.variant in ("q8_0", "f16")  # one GGUF file
    version = shop.model(taught.version)
    training = version.metrics["training"]
    assert training["validation_bits_per_byte"] < 1.5
    (answer,) = version.predict([SHOP[0][0]]).outputs
    assert answer["generated_text"] == SHOP[0][1]
    if not taught.promoted:  # few rows judge here; the proof through the server is the same
        version.deploy(force=True, reason="it is for a test")
    assert shop.live is not None
    assert shop.live.id == taught.version
    # What it forgot is told beside its base, on texts that have nothing to do with the shop.
    (tmp_path / "general.txt").write_text("A river runs slowly.\n\n小河慢慢地流。\n", "utf-8")
    suite = shop.suite("lm", tmp_path, model=version.id)
    (found,) = suite.tasks
    scores = [found[which]["bits_per_byte"]["value"] for which in ("metrics", "base")]
    assert found["rows"] == 2
    assert all(1 < one < 30 for one in scores)
    assert scores[0] != scores[1]
    (table,) = suite.tables()
    assert "base" in table.columns


def test_what_writes_no_text_shows_none(tmp_path: Path) -> None:
    with Workspace(tmp_path) as workspace:
        project = workspace.init("mood", task="text-classification")
        file = tmp_path / "rows.csv"
        file.write_text("text,label\n" + "".join(f"t{n},{'ab'[n % 2]}\n" for n in range(30)))
        project.add(file)
        with pytest.raises(UsageError) as caught:
            project.show(rendered=True)
        assert caught.value.code == "project.not_rendered"
