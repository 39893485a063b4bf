"""What every method that adapts a base promises: language models, pairs of encoder and decoder and
classifiers learn by it, the base stays, and what is served is what was trained."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feilun.compression.convert import convert
from feilun.compression.exporters import gguf
from feilun.engines.base import open_engine
from feilun.engines.card import read_card
from feilun.engines.causal import CausalEngine
from feilun.engines.torch import load_module
from feilun.errors import InvalidData
from feilun.metrics.comparison import values
from feilun.modalities import attached
from feilun.modalities.language import virtual_tokens
from feilun.modalities.language.causal import PromptProcessor
from feilun.store.dataset import DatasetWriter
from feilun.tasks import base as tasks
from feilun.training.adapters import AdapterMethod
from feilun.training.job import TrainJob
from feilun.training.methods.adalora import budget
from feilun.training.settings import method, methods
from feilun.types import Example, Item, Progress, Schema
from helpers.bert import write_bert
from helpers.few import few
from helpers.jobs import job_for, train, write_dataset
from helpers.llama import SHOP, write_causal
from helpers.pairs import PAIRS, write_pair

SHOP, PAIRS = SHOP[:12], PAIRS[:12]
NAMES = [
    name
    for name in methods()
    if isinstance(method(name), AdapterMethod) and "pairs" not in method(name).Settings.model_fields
]
BESIDE = {"prefix-tuning", "bottleneck"}
VIRTUAL = {"prompt-tuning", "p-tuning"}
RATES = {"ia3": 3e-2, "prefix-tuning": 5e-2, "prompt-tuning": 1e-1, "p-tuning": 2e-2}
SHAPES: dict[str, Any] = {
    "prompt-tuning": {"virtual_tokens": 4},
    "p-tuning": {"virtual_tokens": 4, "encoder_width": 16},
    "prefix-tuning": {"length": 4},
    "bottleneck": {"reduction": 4},
}


def settings_for(name: str, epochs: int = 2) -> dict[str, Any]:
    return {
        "epochs": epochs,
        "learning_rate": RATES.get(name, 1e-2),
        "batch_rows": 4,
        "precision": "fp32",
        "checkpoint_seconds": 1000,
        **SHAPES.get(name, {}),
    }


def write_rows(folder: Path, task: str, pairs: list[tuple[str, str]], column: str) -> Path:
    """All pairs to learn from; every second one judges."""
    with DatasetWriter(folder, {column: "text"}) as writer:
        for number, (item, said) in enumerate([*pairs, *pairs[::2]]):
            split: Any = "train" if number < len(pairs) else "validation"
            writer.add(Example(f"row-{number}", item, said, split))
        writer.close(Schema(task, (), tasks.get(task).Settings().model_dump()))
    return folder


def text_job(name: str, task: str, data: Path, folder: Path, base: Path, **more: Any) -> TrainJob:
    out, scratch = folder / "out", folder / "scratch"
    out.mkdir(parents=True)
    scratch.mkdir(exist_ok=True)
    given: dict[str, Any] = {"settings": settings_for(name), **more}
    return TrainJob(name, task, data, base, out, scratch, threads=1, seed=7, **given)


def bits(job: TrainJob) -> list[float]:
    """The bits a byte of the validation rows after the first epoch, and of the version."""
    seen: list[float] = []

    def hear(one: Progress) -> None:
        if "validation_bits_per_byte" in one.figures:
            seen.append(one.figures["validation_bits_per_byte"])

    result = train(job, hear)
    assert result.figures["trained_parameters"] > 0
    return [seen[0], result.figures["validation_bits_per_byte"]]


def tensors(folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("shop"), "chat", SHOP, "messages")


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_causal(tmp_path_factory.mktemp("causal") / "tiny")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("pairs"), "translation", PAIRS, "text")


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("reviews"), 80)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("bert"))


Chats = Callable[[str], tuple[list[float], Path]]


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory, shop: Path, causal: Path) -> Chats:
    """By a method's name a version of the causal base, and its bits a byte."""

    @cache
    def made(name: str) -> tuple[list[float], Path]:
        job = text_job(name, "chat", shop, tmp_path_factory.mktemp(name), causal)
        return bits(job), job.out

    return made


def test_there_are_methods() -> None:
    assert {"lora", "dora", "qlora", "adalora", "ia3"} | BESIDE | VIRTUAL == set(NAMES)


@pytest.mark.parametrize("name", few(NAMES, "lora", "prefix-tuning"))
def test_a_language_model_is_served_as_it_was_trained(
    chats: Chats, causal: Path, name: str
) -> None:
    seen, folder = chats(name)
    assert seen[-1] < seen[0]
    engine = open_engine(folder, threads=1)
    assert isinstance(engine, CausalEngine)
    found = [engine.likelihood(item, said) for item, said in SHOP[::2]]
    size = sum(len(said.encode()) for _, said in SHOP[::2])
    assert -sum(nats for nats, _ in found) / size / np.log(2) == pytest.approx(seen[-1], abs=1e-4)
    alone, together = engine.predict([SHOP[0][0]]), engine.predict([item for item, _ in SHOP[:4]])
    assert alone[0] == together[0]
    engine.close()
    before, after = tensors(causal), tensors(folder)
    words = "model.embed_tokens.weight"
    size = len(before[words])
    np.testing.assert_array_equal(after[words][:size], before[words])
    others = before.keys() - {words}
    changed = {key for key in others if not np.array_equal(before[key], after[key])}
    assert bool(changed) == (name not in BESIDE | VIRTUAL)
    assert attached.is_attached(folder) == (name in BESIDE)
    assert (len(after[words]) > size) == (name in VIRTUAL)
    assert (folder / "adapter").is_dir() == (name not in BESIDE | VIRTUAL)


@pytest.mark.parametrize("name", few(sorted(BESIDE | VIRTUAL | {"adalora"}), "bottleneck"))
def test_encoders_with_decoders_are_served_as_they_were_trained(
    tmp_path: Path, pairs: Path, name: str
) -> None:
    import torch

    kind = "bart" if name in {"p-tuning", "prefix-tuning"} else "t5"
    base = write_pair(tmp_path / kind, kind)
    job = text_job(name, "translation", pairs, tmp_path, base)
    seen = bits(job)
    assert seen[-1] < seen[0]
    task, schema = tasks.get("translation"), read_card(job.out).schema
    lessons = task.lessons(job.out, schema)
    assert lessons is not None
    texts, said = zip(*PAIRS[::2], strict=True)
    arrays = lessons.collate(lessons.encode(texts, said), said)
    labels = torch.from_numpy(arrays.pop("labels"))
    module = task.load(job.out, schema)
    with torch.inference_mode():
        logits = module(**{key: torch.from_numpy(array) for key, array in arrays.items()})
        kept = lessons.objective.reduced(logits, labels)
    measured, _ = lessons.objective.validated(kept.numpy(), labels.numpy())
    assert values(measured)["bits_per_byte"] == pytest.approx(seen[-1], abs=1e-4)
    engine = open_engine(job.out, threads=1)
    assert len(engine.predict(list(texts[:3]))) == 3
    engine.close()


@pytest.mark.parametrize("name", few(NAMES, "dora"))
def test_a_classifier_is_served_as_it_was_trained(
    tmp_path: Path, reviews: Path, bert: Path, name: str
) -> None:
    settings = {**settings_for(name, 3), "augment": "off"}
    job = job_for(name, reviews, tmp_path, bert, settings=settings)
    assert train(job).figures["validation_accuracy"] > 0.6
    card = read_card(job.out)
    assert load_module(job.out, card) is not None
    if name in BESIDE | {"prompt-tuning"}:
        # The converter compares OpenVINO's answers with torch's and refuses to differ.
        assert convert(job.out, card) is not None
    engine = open_engine(job.out, threads=1)
    texts: list[Item] = ["great room", "bad, dirty and loud room", "great"]
    together, alone = engine.raw(texts), engine.raw(texts[:1])
    np.testing.assert_allclose(together[:1], alone, atol=1e-5)
    engine.close()


def test_what_stands_beside_the_weights_has_no_place_in_gguf(chats: Chats) -> None:
    for name in sorted(BESIDE | {"lora"}):
        folder = chats(name)[1]
        reason = gguf.unable(folder, read_card(folder))
        assert (reason is not None and "GGUF" in reason) == (name in BESIDE)


def test_virtual_tokens_are_never_written_and_are_in_the_gguf_file(
    tmp_path: Path, chats: Chats
) -> None:
    from feilun.modalities.language import gguf as files

    folder = chats("prompt-tuning")[1]
    processor = PromptProcessor.read(folder, 256)
    ids = virtual_tokens.ids_of(processor.tokenizer)
    assert len(ids) == 4
    assert processor.ids(processor.prompt("Hi"))[:4] == ids
    words = tensors(folder)["lm_head.weight"]
    np.testing.assert_allclose(words[ids], np.tile(words[: ids[0]].mean(0), (4, 1)), atol=1e-6)
    gguf.write(folder, tmp_path / "model.gguf", "f16", [2])
    header = files.read(tmp_path / "model.gguf")
    assert files.tokenizer(header).encode(processor.prompt("Hi")).ids[:4] == ids


def test_a_prefix_is_what_a_cache_would_be(chats: Chats, causal: Path) -> None:
    """transformers' own cache, filled with the prefix, gives the same logits."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, DynamicCache

    folder = chats("prefix-tuning")[1]
    kept = load_file(folder / attached.FOLDER / "weights.safetensors")
    cache = DynamicCache()
    for layer in range(2):
        place = f"layers.{layer}.self_attn.prefix"
        cache.update(kept[f"{place}_key"][None], kept[f"{place}_value"][None], layer)
    ids = torch.arange(5, 15)[None]
    with torch.inference_mode():
        plain = AutoModelForCausalLM.from_pretrained(causal)
        wanted = plain(
            input_ids=ids,
            past_key_values=cache,
            attention_mask=torch.ones(1, 14, dtype=torch.long),
            position_ids=torch.arange(10)[None],
        ).logits
        model = tasks.get("chat").load(folder, read_card(folder).schema).model
        found = model(input_ids=ids).logits  # type: ignore[operator]
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_a_base_of_four_bits_takes_an_eighth_of_the_memory(tmp_path: Path, causal: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(causal)
    layers = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    inner = sum(layer.weight.numel() for layer in layers) - model.lm_head.weight.numel()
    plain = sum(one.nbytes for one in model.parameters())
    job = text_job("qlora", "chat", tmp_path, tmp_path, causal)
    chosen = method("qlora")
    assert isinstance(chosen, AdapterMethod)
    adaptation = chosen.adaptation(job, method("qlora").Settings(**settings_for("qlora")))
    learner = adaptation.wrap(model, [], 1)  # type: ignore[arg-type]
    still = sum(one.nbytes for one in learner.parameters() if not one.requires_grad)
    assert plain - still == pytest.approx(inner * (4 - 0.5))
    # What the four bits stand for is what is saved.
    ids = torch.arange(5, 25)[None]
    with torch.inference_mode():
        reduced = learner(input_ids=ids).logits
        restored = adaptation.unwrap(learner)(input_ids=ids).logits
    torch.testing.assert_close(restored, reduced, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", few(["adalora", "qlora", "p-tuning"], "qlora"))
def test_a_killed_training_goes_on(
    tmp_path: Path, chats: Chats, causal: Path, shop: Path, name: str
) -> None:
    whole = chats(name)[1]
    settings = {**settings_for(name), "checkpoint_steps": 3}
    cut = text_job(name, "chat", shop, tmp_path, causal, settings=settings)

    def kill(progress: Progress) -> None:
        if progress.step == "train" and progress.unit == "steps" and progress.done >= 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(cut, kill)
    assert train(cut).figures["resumed_from_step"] > 0
    files = sorted(file.relative_to(whole) for file in whole.rglob("*.safetensors"))
    assert files
    for file in files:
        assert (whole / file).read_bytes() == (cut.out / file).read_bytes()


@pytest.mark.parametrize("name", ["bottleneck", "p-tuning"])
def test_an_update_goes_on_where_the_version_was(
    tmp_path: Path, chats: Chats, shop: Path, name: str
) -> None:
    before, folder = chats(name)
    job = text_job(name, "chat", shop, tmp_path, None, previous=folder)  # type: ignore[arg-type]
    after = bits(job)
    assert after[-1] < before[-1]
    assert tensors(job.out).keys() == tensors(folder).keys()


def test_pictures_have_no_tokens_and_convolutions_no_attention(tmp_path: Path) -> None:
    from transformers import ResNetConfig, ResNetForImageClassification, ViTConfig, ViTModel

    ResNetForImageClassification(
        ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic")
    ).save_pretrained(tmp_path / "resnet")
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ViTModel(ViTConfig(intermediate_size=16, image_size=16, patch_size=8, **shape)).save_pretrained(
        tmp_path / "vit"
    )
    task = tasks.get("image-classification")
    reasons = {
        base: {name: method(name).supports(task, tmp_path / base) for name in NAMES}
        for base in ("resnet", "vit")
    }
    assert {name for name, reason in reasons["vit"].items() if reason} == VIRTUAL
    assert {name for name, reason in reasons["resnet"].items() if reason} == VIRTUAL | BESIDE


def test_the_budget_of_ranks_falls_once_and_stays() -> None:
    left = [budget(step, 100, 120, 80) for step in range(101)]
    assert left[:11] == [120] * 11
    assert left[70:] == [80] * 31
    assert all(one >= two for one, two in pairwise(left))


def test_what_belongs_to_another_model_is_refused(tmp_path: Path, chats: Chats) -> None:
    folder = tmp_path / "other"
    write_causal(folder, num_hidden_layers=1)
    shutil.copytree(chats("bottleneck")[1] / attached.FOLDER, folder / attached.FOLDER)
    shutil.copyfile(chats("bottleneck")[1] / "feilun.json", folder / "feilun.json")
    with pytest.raises(InvalidData, match="cannot be used"):
        tasks.get("chat").load(folder, read_card(folder).schema)
