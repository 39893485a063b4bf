"""Pre-training: what is packed, that documents do not see each other, all three objectives from
nothing and on from a base, and a training that was killed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from feilun.config import DataConfig
from feilun.data.sources import Source
from feilun.data.versions import build
from feilun.engines.base import open_engine
from feilun.families.objective import IGNORED
from feilun.modalities.language import architectures
from feilun.modalities.language.models import Marks, auto_class
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.tasks import base as tasks
from feilun.training import tokenizer
from feilun.training.job import TrainJob
from feilun.training.methods import full, pretrain
from feilun.training.packing import Blocks, Pieces, tokenise
from feilun.types import EngineRequest, Example, Progress, Schema
from helpers.pairs import PAIRS

OBJECTIVES = ("causal", "masked", "spans")
WORDS = ("the", "tea", "grows", "slowly", "under", "a", "bright", "river", "and", "keeps", "stones")
MARKS = Marks(0, 0, 1, 2, tuple(range(400, 440)), frozenset({0, 1, 2, 3, 4}))
TASK = tasks.get("language-model")


def _texts(rows: int = 260) -> list[str]:
    lots = np.random.default_rng(0)
    english = [f"{' '.join(lots.choice(WORDS, 14).tolist())} {n}." for n in range(rows)]
    chinese = [f"第{n}壶绿茶产于山区，冲泡{n + 3}分钟后味道很好。" for n in range(rows // 2)]
    return english + chinese


@pytest.fixture(scope="module", autouse=True)
def brief() -> Iterator[None]:
    """What a model writes while it learns is short: forty tokens took as long as its training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrain, "_SAMPLE", 4)
        yield


@pytest.fixture(scope="module")
def made() -> Any:
    return tokenizer.train(_texts(), "bpe", 400)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "corpus.txt").write_text("\n".join(_texts()), "utf-8")
    settings = DataConfig(near_duplicates=False)
    build([Source(folder / "corpus.txt")], task=TASK, settings=settings, out=folder / "version")
    return folder / "version"


def _job(data: Path, folder: Path, objective: str, base: Path | str, **settings: Any) -> TrainJob:
    (folder / "out").mkdir(parents=True, exist_ok=True)
    own = {
        "size": "nano",
        "vocabulary": 400,
        "context": 48,
        "tokens": 6000,
        "batch_tokens": 384,
        "precision": "fp32",
        **settings,
    }
    return TrainJob(
        method="pretrain",
        task="language-model",
        data=data,
        base=base,
        out=folder / "out",
        scratch=folder / "scratch",
        settings=own,
        task_settings={"objective": objective},
        threads=1,
    )


def _train(job: TrainJob, report: Any = lambda progress: None) -> Any:
    return pretrain.train(job, pretrain.Settings(**job.settings), report)


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    """A version of each objective that began from nothing, with what its training said."""
    found = {}
    for objective in OBJECTIVES:
        job = _job(data, tmp_path_factory.mktemp(objective), objective, "scratch:auto")
        said: list[Progress] = []
        result = _train(job, said.append)
        found[objective] = (job.out, (result, said))
    return found


# Packing


def test_a_corpus_is_tokenised_once_into_a_mapped_file(made: Any, tmp_path: Path) -> None:
    texts = ["The tea grows.", "绿茶产于山区。", ""]
    tokens = tokenise(made, texts, tmp_path, MARKS, "a", True)
    assert isinstance(tokens.ids, np.memmap)
    assert tokens.ids.dtype == np.uint16
    assert tokens.bytes == sum(len(text.encode()) for text in texts)
    parts = [made.decode(part.tolist()) for part in np.split(tokens.ids, tokens.begins)[1:]]
    assert [part.replace("<|endoftext|>", "") for part in parts] == texts[:2]
    again = tokenise(made, iter(()), tmp_path, MARKS, "a", True)
    assert np.array_equal(again.ids, tokens.ids)
    other = tokenise(made, ["Otherwise."], tmp_path, MARKS, "b", True)
    assert len(other.ids) < len(tokens.ids)


def test_words_of_chinese_are_hidden_whole(made: Any, tmp_path: Path) -> None:
    tokens = tokenise(made, _texts()[-60:], tmp_path, MARKS, "a", True)
    blocks = Blocks(tokens, "masked", 64, MARKS, 400, passes=3)
    hidden = 0
    for place in range(len(blocks)):
        arrays = blocks.arrays(place)
        begin = place % blocks.count * 64
        words = np.cumsum(tokens.words[begin : begin + 64])
        ids = np.asarray(tokens.ids[begin : begin + 64], np.int64)
        wanted = arrays["labels"][: len(words)] != IGNORED
        special = np.isin(ids, list(MARKS.specials))
        assert np.array_equal(arrays["labels"][: len(words)][wanted], ids[wanted])
        assert not (wanted & special).any()
        for word in np.unique(words[wanted]):
            assert wanted[(words == word) & ~special].all()
        hidden += int(wanted.sum())
    assert 0.08 < hidden / (len(blocks) * 64) < 0.25
    first, second = blocks.arrays(0), blocks.arrays(blocks.count)
    assert not np.array_equal(first["labels"], second["labels"])  # other words each time
    assert np.array_equal(blocks.arrays(1)["labels"], blocks.arrays(1)["labels"])


def test_spans_and_what_is_read_make_the_document(made: Any, tmp_path: Path) -> None:
    tokens = tokenise(made, _texts(40), tmp_path, MARKS, "a", True)
    pieces = Pieces(tokens, 24, MARKS)
    assert pieces.costs.max() <= 24
    assert pieces.costs.sum() == len(tokens.ids) - 1 - len(tokens.begins)
    for place in range(0, len(pieces), 5):
        read, written = pieces.arrays(place)
        begin, end = pieces._rows[place]
        spans: dict[int, list[int]] = {}
        for token in written[:-1]:
            if token in MARKS.sentinels:
                spans[token] = []
            else:
                spans[max(spans)].append(token)
        whole = [one for token in read[:-1] for one in spans.get(token, [token])]
        assert whole == tokens.ids[begin:end].tolist()
        assert spans
        assert read[-1] == written[-1] == MARKS.end


@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_a_document_does_not_see_its_neighbours(made: Any, tmp_path: Path, objective: Any) -> None:
    torch.manual_seed(0)
    config = architectures.config(objective, "nano", 400, 64, MARKS.end, MARKS.pad)
    model = auto_class(objective).from_config(config).eval()
    first, second, third = (text[:40] for text in (_texts()[0], _texts()[1], _texts()[-1]))

    def logits(texts: list[str]) -> torch.Tensor:
        folder = tmp_path / str(abs(hash(tuple(texts))))
        tokens = tokenise(made, texts, folder, MARKS, "a", False)
        blocks = Blocks(tokens, objective, 64, MARKS, 400)
        if objective == "masked":  # nothing is hidden where all tokens are special
            blocks._marks = replace(MARKS, specials=frozenset(range(400)))
        arrays = blocks.collate([0])
        arrays.pop("labels")
        with torch.no_grad():
            found = model(**arrays).logits[0]
        begin = int(tokens.begins[1])
        end = int(tokens.begins[2]) if len(tokens.begins) > 2 else len(tokens.ids) - 1
        return torch.as_tensor(found[begin:end])

    alone = logits(["x", second])
    assert torch.allclose(alone, logits([first, second]), atol=1e-5)
    assert torch.allclose(alone, logits([third, second, first]), atol=1e-5)
    assert not torch.allclose(alone[:5], logits([first, third])[:5], atol=1e-5)


# Sizes


def test_sizes_follow_the_corpus_and_the_budget() -> None:
    def size(corpus: float, budget: float = 1e30) -> str:
        return architectures.right_size("causal", 16_000, corpus, budget)

    assert size(1e5) == "tiny"
    assert size(1e10) == "base"
    assert size(1e10, 1e15) in ("tiny", "mini")
    steps = [size(10**n) for n in range(5, 11)]
    assert steps == sorted(steps, key=list(architectures.SIZES).index)
    for objective in OBJECTIVES:
        config = architectures.config(objective, "mini", 1000, 64, 0, 1)
        model = auto_class(objective).from_config(config)
        counted = architectures.parameters(objective, "mini", 1000)
        assert sum(one.numel() for one in model.parameters()) == pytest.approx(counted, rel=0.1)
    assert architectures.tokens_for(1000, 500, 1e30) == 2000
    assert architectures.tokens_for(1000, 500, 6e6) == 1000


# Training


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_it_learns_from_nothing(trained: Any, objective: str) -> None:
    folder, (result, said) = trained[objective]
    bits = [
        one.figures["validation_bits_per_byte"]
        for one in said
        if "validation_bits_per_byte" in one.figures
    ]
    assert bits[-1] < 0.9 * bits[0]
    assert result.figures["tokens"] >= 6000
    assert 5 <= len(set(bits)) <= 10
    kept = {file.name for file in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "feilun.json"} <= kept
    if objective == "causal":
        assert any(one.note.startswith("it writes: ") for one in said)


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_it_goes_on_from_a_base(trained: Any, data: Path, tmp_path: Path, objective: str) -> None:
    folder, (before, _) = trained[objective]
    result = _train(_job(data, tmp_path, objective, folder, tokens=1500))
    bits = "validation_bits_per_byte"
    assert result.figures[bits] < 1.05 * before.figures[bits]
    config = json.loads((tmp_path / "out" / "config.json").read_text("utf-8"))
    assert (
        config["architectures"] == json.loads((folder / "config.json").read_text())["architectures"]
    )


@pytest.mark.slow
def test_spans_are_a_base_for_translations(trained: Any, tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "pairs", {"text": "text"}) as writer:
        for number, (text, said) in enumerate([*PAIRS, *PAIRS[::4]]):
            split: Any = "train" if number < len(PAIRS) else "validation"
            writer.add(Example(f"row-{number}", text, said, split))
        writer.close(Schema("translation", (), {"max_length": 64}))
    folder = trained["spans"][0]
    assert tasks.get("translation").unfit(folder) is None
    settings = {"epochs": 4, "batch_rows": 4, "learning_rate": 5e-3, "precision": "fp32"}
    job = replace(
        _job(tmp_path / "pairs", tmp_path, "spans", folder),
        method="full",
        task="translation",
        task_settings={},
        settings=settings,
    )
    result = full.train(job, full.Settings(**settings), lambda progress: None)
    assert result.figures["rows"] == len(PAIRS)
    engine = open_engine(job.out, threads=1)
    assert len(engine.predict([PAIRS[0][0]])[0]["translation_text"]) < 300
    engine.close()
    kept = [json.loads((one / "tokenizer.json").read_text("utf-8")) for one in (folder, job.out)]
    assert kept[0]["model"]["vocab"] == kept[1]["model"]["vocab"]


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_killed_training_ends_as_an_undisturbed_one(
    trained: Any, data: Path, tmp_path: Path, objective: str
) -> None:
    class Killed(Exception):
        pass

    def kill(progress: Progress) -> None:
        if progress.unit == "steps" and progress.done >= 8:
            raise Killed

    job = _job(data, tmp_path, objective, "scratch:auto", checkpoint_steps=3)
    with pytest.raises(Killed):
        _train(job, kill)
    result = _train(job)
    assert 3 <= result.figures["resumed_from_step"] < result.figures["steps"]
    whole = trained[objective][0] / "model.safetensors"
    assert (job.out / "model.safetensors").read_bytes() == whole.read_bytes()


# Answers


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_likelihoods_are_those_of_the_network(trained: Any, objective: str) -> None:
    engine = open_engine(trained[objective][0])
    items = [
        "the tea grows under a bright river and keeps stones " * 8,
        "第7壶绿茶产于山区",
        "x",
        "",
    ]
    raw = engine.raw(items)
    each = [engine.raw([item])[0] for item in items]
    assert [one.size for one in raw] == [one.size for one in each]
    assert [one.nats for one in raw] == pytest.approx([one.nats for one in each], rel=1e-4)
    assert all(np.isfinite(one.nats) for one in raw)
    if objective == "causal":
        assert raw[0].size == len(items[0])
    engine.close()


def test_a_causal_version_streams_what_it_answers(trained: Any) -> None:
    engine = open_engine(trained["causal"][0])

    async def pieces() -> list[Any]:
        request = EngineRequest(["the tea"], stream=True, options={"max_tokens": 12})
        return [one async for one in engine.submit(request)]

    *deltas, last = asyncio.run(pieces())
    assert 0 < len(deltas) <= 12
    assert "".join(one.delta for one in deltas) == last.outputs[0]["generated_text"]
    options = {"max_tokens": 12, "temperature": 0}
    first, second = (
        engine.outputs(EngineRequest(["the tea"], options=options))[0] for _ in range(2)
    )
    assert first == second
    assert first["bits_per_byte"] > 0
    engine.close()


def test_masks_are_filled_as_transformers_does(trained: Any) -> None:
    engine = open_engine(trained["masked"][0])
    (one,) = engine.predict(["the tea [MASK] slowly under a bright river"])
    (fills,) = one["fill_mask"]
    assert len(fills) == 5
    assert set(fills[0]) == {"score", "token", "token_str", "sequence"}
    assert [fill["score"] for fill in fills] == sorted((f["score"] for f in fills), reverse=True)
    assert one["generated_text"] == fills[0]["sequence"]
    assert len(engine.predict(["the [MASK] <|mask|> slowly"])[0]["fill_mask"]) == 2
    assert engine.predict(["the tea grows"])[0]["generated_text"] == ""
    engine.close()


def test_spans_are_written_where_they_are_missing(trained: Any) -> None:
    engine = open_engine(trained["spans"][0])
    one, other = engine.predict(["the tea <mask> a bright river", "the tea grows"])
    assert one["generated_text"].startswith("the tea ")
    assert one["generated_text"].endswith(" a bright river")
    assert isinstance(other["generated_text"], str)
    engine.close()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_base_of_another_kind_is_refused(trained: Any, objective: str) -> None:
    for other, (folder, _) in trained.items():
        task = TASK.bound({"objective": objective})
        assert (pretrain.supports(task, folder) is None) == (other == objective)


@pytest.mark.slow
def test_an_update_learns_the_new_documents(trained: Any, data: Path, tmp_path: Path) -> None:
    rows = Dataset(data).row_ids("train")
    job = _job(data, tmp_path, "causal", "scratch:auto", tokens=None)
    job = replace(job, previous=trained["causal"][0], new_rows=tuple(rows[:10]))
    result = _train(job)
    assert 0 < result.figures["corpus_tokens"] < 2000
