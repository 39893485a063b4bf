"""A language model's GGUF file says what the trained folder says: to llama.cpp and to OpenVINO."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from feilun.compression.exporters import gguf
from feilun.engines.card import Card
from feilun.errors import EnvironmentProblem
from feilun.modalities.language.causal import PromptProcessor
from feilun.types import Schema
from helpers.absent import hide
from helpers.few import few
from helpers.llama import SHOP, write_causal

CARD = Card("causal", Schema("chat", (), {}), "full")
TEXTS = [
    *(text for pair in SHOP for text in pair),
    "The lamp costs 1234567.89 euros, isn't it? IT'S   THE\tend\n\n  \r\n",
    "def f(x): return {'a': [x**2, 0xFF]}  # 注释\n\n\nfor i in range(10):\n    print(i)",
    "👩‍👩‍👧‍👦 🇨🇳 e\u0301cole naïve \u202eright\u202c عربى עברית 한국어 ไทย 𠮷野家",
    "<product>, <|im_start|>user\nHi <product><|im_end|>\n<|endoftext|>",
    "满 99 元包邮，不足９９元收 8 元。",
]


def _texts(seed: str) -> list[str]:
    """`TEXTS`, and so many made of their pieces that three architectures read a thousand."""
    draw = random.Random(seed)
    pieces = [one for text in TEXTS for one in re.findall(r"\s+|[\w']+|<[^<>]+>|[^\w\s]", text)]
    made = ("".join(draw.choices(pieces, k=draw.randint(1, 30))) for _ in range(334 - len(TEXTS)))
    return [*TEXTS, *made]


@pytest.fixture(scope="module", params=few(["llama", "qwen2", "qwen3"], "qwen2"))
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / request.param
    # As far from each other as the logits of a taught model.
    return write_causal(folder, request.param, initializer_range=0.3, tie_word_embeddings=False)


@pytest.fixture(scope="module")
def files(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("exported")
    found = {name: folder / f"{name}.gguf" for name in gguf.VARIANTS}
    for name, file in found.items():
        gguf.write(trained, file, name, [2])
    return found


@pytest.fixture(scope="module")
def processor(trained: Path) -> PromptProcessor:
    return PromptProcessor.read(trained, 256)


@pytest.fixture(scope="module")
def greedy(trained: Path, processor: PromptProcessor) -> dict[str, list[int]]:
    """What torch answers to prompts."""
    import torch
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(trained)
    found = {}
    for question, _ in SHOP[:8]:
        ids = processor.ids(processor.prompt(question))
        given = torch.tensor([ids])
        said = model.generate(
            given, attention_mask=torch.ones_like(given), do_sample=False, max_new_tokens=12,
            eos_token_id=2, pad_token_id=0,
        )  # fmt: skip
        found[question] = said[0, len(ids) :].tolist()
    assert len({tuple(said) for said in found.values()}) > 4
    return found


def test_openvino_reads_the_same_tokens_and_answers_alike(
    files: dict[str, Path], trained: Path, processor: PromptProcessor, greedy: dict[str, list[int]]
) -> None:
    import openvino
    import openvino_genai

    exact = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
    pipe = openvino_genai.LLMPipeline(str(files["f16"]), "CPU", **exact)
    tokenizer = pipe.get_tokenizer()
    for text in _texts(trained.name):
        found = tokenizer.encode(text, add_special_tokens=False).input_ids.data[0].tolist()
        assert found == processor.ids(text), text
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens, config.eos_token_id = 12, 2
    config.apply_chat_template = False
    for question, said in greedy.items():
        ids = processor.ids(processor.prompt(question))
        found = pipe.generate(openvino.Tensor(np.array([ids])), config).tokens[0]
        assert [one for one in found if one != 2] == [one for one in said if one != 2]


@pytest.fixture(scope="module")
def llama(files: dict[str, Path]) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(files["f16"])
    params.n_ctx, params.n_parallel, params.cpuparams.n_threads = 256, 1, 1
    params.warmup, params.verbosity = False, 0
    return xllamacpp.Server(params)


@pytest.mark.slow
def test_llama_cpp_reads_the_same_tokens_and_answers_alike(
    llama: Any, processor: PromptProcessor, greedy: dict[str, list[int]]
) -> None:
    for text in TEXTS:
        body = {"content": text, "add_special": False, "parse_special": True}
        found = httpx.post(f"{llama.listening_address}/tokenize", json=body).json()["tokens"]
        assert found == processor.ids(text), text
    for question, said in greedy.items():
        asked = {
            "prompt": processor.ids(processor.prompt(question)),
            "n_predict": 12,
            "temperature": 0.0,
            "return_tokens": True,
        }
        answer = httpx.post(f"{llama.listening_address}/completion", json=asked, timeout=60)
        # It keeps what it has read in half the bits, which a network of chance feels soon.
        assert answer.json()["tokens"][:6] == said[:6]


def test_fewer_bits_are_smaller_and_near(files: dict[str, Path], trained: Path) -> None:
    from gguf import GGUFReader, quants

    sizes = [files[name].stat().st_size for name in gguf.VARIANTS]
    assert sizes == sorted(sizes)
    place = "blk.1.ffn_up.weight"
    values = []
    for name in gguf.VARIANTS:
        (tensor,) = (one for one in GGUFReader(files[name]).tensors if one.name == place)
        values.append(quants.dequantize(tensor.data, tensor.tensor_type))
    four, eight, half = values
    assert np.abs(eight - half).max() < 0.02
    assert 0.02 < np.abs(four - half).max() < 0.3


def test_what_ends_an_answer_and_the_template_are_in_the_file(tmp_path: Path) -> None:
    from gguf import GGUFReader

    folder = write_causal(tmp_path / "base", template="{{ messages[0]['content'] }}")
    gguf.write(folder, tmp_path / "model.gguf", "q8_0", [1])
    reader = GGUFReader(tmp_path / "model.gguf")
    wanted = {
        "tokenizer.ggml.eos_token_id": 1,  # as it was taught, whatever the base says
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.chat_template": "{{ messages[0]['content'] }}",
        "tokenizer.ggml.pre": "smollm",
    }
    found = {name: reader.get_field(name).contents() for name in wanted}  # type: ignore[union-attr]
    assert found == wanted
    assert not [one.name for one in reader.tensors if one.name == "output.weight"]  # tied


def test_what_has_no_place_is_named(tmp_path: Path) -> None:
    import json

    other = write_causal(tmp_path / "mistral", "mistral")
    assert "mistral" in str(gguf.unable(other, CARD))
    with pytest.raises(EnvironmentProblem, match="llama, qwen2") as caught:
        gguf.write(other, tmp_path / "a.gguf", "f16", [2])
    assert caught.value.code == "compression.unknown_architecture"
    folder = write_causal(tmp_path / "llama")
    file = folder / "config.json"
    config = json.loads(file.read_text("utf-8"))
    scaled = {**config, "rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0}}
    file.write_text(json.dumps(scaled), "utf-8")
    with pytest.raises(EnvironmentProblem, match="yarn"):
        gguf.write(folder, tmp_path / "b.gguf", "f16", [2])
    file.write_text(json.dumps({**config, "num_hidden_layers": 3}), "utf-8")
    with pytest.raises(EnvironmentProblem, match=r"blk\.2"):
        gguf.write(folder, tmp_path / "c.gguf", "f16", [2])
    file.write_text(json.dumps(config), "utf-8")
    words = folder / "tokenizer.json"
    known = words.read_text("utf-8")
    words.write_text(known.replace('"individual_digits": true', '"individual_digits": false'))
    words.write_text(known.replace('"Digits"', '"Whitespace"'), "utf-8")
    with pytest.raises(EnvironmentProblem, match="Whitespace"):
        gguf.write(folder, tmp_path / "d.gguf", "f16", [2])
    words.write_text(known, "utf-8")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(EnvironmentProblem, match="cannot be converted"):
        gguf.write(folder, tmp_path / "e.gguf", "f16", [2])


def test_without_the_packages_torch_serves_what_was_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_causal(tmp_path / "llama")
    assert gguf.unable(folder, CARD) is None
    for package, said in (("gguf", "gguf is not"), ("openvino_genai", "openvino-genai is not")):
        with monkeypatch.context() as without:
            hide(without, package)
            assert said in str(gguf.unable(folder, CARD))
