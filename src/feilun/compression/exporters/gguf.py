"""Causal language models as one GGUF file, in float16, eight and four bits.

The format, its names of tensors and its quantizations are those of ggml (``docs/gguf.md``) as the
package ``gguf`` has them. A tokenizer is written only where it is known to part texts there as it
does here; what is not known is an error, because a model that reads other tokens answers nonsense.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from feilun.compression.base import Export
from feilun.engines.base import formats
from feilun.engines.card import Card, write_card
from feilun.errors import EnvironmentProblem
from feilun.messages import t
from feilun.modalities import attached
from feilun.modalities.language.template import read_template
from feilun.tasks import base as tasks

if TYPE_CHECKING:
    import gguf

__all__ = ["FILE", "FORMAT", "ROWS", "SOURCES", "VARIANTS", "export", "unable", "write"]

SOURCES = ("causal",)
FORMAT = "gguf"
VARIANTS = ("q4_0", "q8_0", "f16")
ROWS = 100  # an answer takes a tenth of a second where a label takes a thousandth
FILE = "model.gguf"

_ARCHITECTURES = ("llama", "qwen2", "qwen3")

# How llama.cpp names what parts a text into words before its tokens are merged, by the pattern in
# the tokenizer's own file; "digits" stands for every digit by itself before GPT-2's words.
_QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_WORDS = {
    "gpt2": "gpt-2",
    "digits gpt2": "smollm",
    f"{_QWEN} bytes": "qwen2",
    _QWEN.replace(r"\p{N}|", r"\p{N}{1,3}|", 1) + " bytes": "llama-bpe",
}


def unable(version: Path, card: Card) -> str | None:
    """Where the package that writes the file, or the engine that serves it, is not installed; and
    what llama.cpp's format has no place for."""
    if attached.is_attached(version):
        return t("compression.attached")
    try:
        _config(version)
        _words(_tokenizer(version))
    except EnvironmentProblem as error:
        return str(error).partition("\n")[0]
    lacking = [one for one in ("gguf", "openvino_genai") if importlib.util.find_spec(one) is None]
    if lacking or FORMAT not in formats():
        package = (lacking or ["openvino_genai"])[0].replace("_", "-")
        return t("compression.no_language", package=package)
    return None


def export(job: Export) -> tuple[list[str], list[str]]:
    """float16, and what the settings name."""
    wanted: list[str] = [name for name in job.settings.variants if name in VARIANTS]
    names = list(dict.fromkeys(["f16", *wanted]))
    task = tasks.of(job.card.schema)
    processor = task.processor(job.version, job.card.schema.settings)
    for done, name in enumerate(names):
        job.tick(done / len(names), t("compression.writing", name=name))
        folder = job.out / name
        folder.mkdir(parents=True)
        stops = [int(one) for one in job.card.extra.get("stops", ())]
        write(job.version, folder / FILE, name, stops)
        processor.save(folder)
        write_card(folder, replace(job.card, format=FORMAT, precision=name))
    return names, []


def write(version: Path, file: Path, precision: str, stops: list[int]) -> None:
    """The transformers folder `version` as one `file`. `stops` are the tokens that end an answer.

    Raises `EnvironmentProblem` for an architecture or a tokenizer that is not known here, and for
    weights that are not all there.
    """
    import gguf

    config = _config(version)
    name = str(config["model_type"])
    writer = gguf.GGUFWriter(file, name)
    _describe(writer, config, precision)
    _add_tokenizer(writer, version, config, stops)
    layers = int(config["num_hidden_layers"])
    kinds = {member.name.lower(): member for member in gguf.MODEL_ARCH}
    places = gguf.get_tensor_name_map(kinds[name], layers)
    missing = {f"blk.{n}.ffn_down.weight" for n in range(layers)} | {"token_embd.weight"}
    for tensor, values in _tensors(version):
        place = places.get_name(tensor, try_suffixes=(".weight", ".bias"))
        if place is None:
            if tensor.endswith("rotary_emb.inv_freq"):
                continue
            raise EnvironmentProblem("compression.unknown_tensor", tensor=tensor, architecture=name)
        if place == "output.weight" and config.get("tie_word_embeddings"):
            continue
        missing.discard(place)
        _add(writer, place, _turned(tensor, values, config), precision)
    if missing:
        raise EnvironmentProblem("compression.missing_tensors", names=sorted(missing)[:3])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _config(version: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((version / "config.json").read_text("utf-8"))
        kind = config["model_type"]
    except (OSError, ValueError, KeyError) as error:
        reason = repr(error)
        raise EnvironmentProblem("compression.cannot_convert", reason=reason) from None
    if kind not in _ARCHITECTURES:
        raise EnvironmentProblem(
            "compression.unknown_architecture", given=kind, options=list(_ARCHITECTURES)
        )
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    scaling = rope.get("rope_type", rope.get("type", "default"))
    if scaling != "default" or config.get("use_sliding_window"):
        raise EnvironmentProblem("compression.unknown_positions", given=scaling)
    return config


def _describe(writer: gguf.GGUFWriter, config: Mapping[str, Any], precision: str) -> None:
    import gguf

    width, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    size = int(config.get("head_dim") or width // heads)
    rope = config.get("rope_parameters") or {}
    theta = rope.get("rope_theta", config.get("rope_theta", 10_000.0))
    writer.add_name("feilun")
    writer.add_block_count(int(config["num_hidden_layers"]))
    writer.add_context_length(int(config["max_position_embeddings"]))
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_head_count(heads)
    writer.add_head_count_kv(int(config.get("num_key_value_heads") or heads))
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_freq_base(float(theta))
    writer.add_rope_dimension_count(size)
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))
    writer.add_vocab_size(int(config["vocab_size"]))
    types = gguf.LlamaFileType
    writer.add_file_type(
        {"f16": types.MOSTLY_F16, "q8_0": types.MOSTLY_Q8_0}.get(precision, types.MOSTLY_Q4_0)
    )
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _add_tokenizer(
    writer: gguf.GGUFWriter, version: Path, config: Mapping[str, Any], stops: list[int]
) -> None:
    import gguf

    described = _tokenizer(version)
    model = described["model"]
    added = {int(one["id"]): one for one in described["added_tokens"]}
    tokens = {int(number): token for token, number in model["vocab"].items()}
    tokens |= {number: one["content"] for number, one in added.items()}
    size = int(config["vocab_size"])
    texts, kinds = [], []
    for number in range(size):
        texts.append(tokens.get(number, f"[PAD{number}]"))
        if number not in tokens:
            kinds.append(gguf.TokenType.UNUSED)
        elif number not in added:
            kinds.append(gguf.TokenType.NORMAL)
        elif added[number]["special"]:
            kinds.append(gguf.TokenType.CONTROL)
        else:
            kinds.append(gguf.TokenType.USER_DEFINED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_words(described))
    writer.add_token_list(texts)
    writer.add_token_types(kinds)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in model["merges"]])
    template = read_template(version)
    special = template.tokens if template else {}
    places = {token: number for number, token in tokens.items()}
    for name, add in (
        ("bos_token", writer.add_bos_token_id),
        ("unk_token", writer.add_unk_token_id),
        ("pad_token", writer.add_pad_token_id),
    ):
        if special.get(name) in places:
            add(places[special[name]])
    ends = [*stops, places.get(special.get("eos_token", ""))]
    found = [one for one in ends if one is not None]
    if found:
        # An answer ends with the token that was taught; some models end a text with another.
        writer.add_eos_token_id(found[0])
        writer.add_eot_token_id(found[0])
    writer.add_add_bos_token(False)  # templates write it
    writer.add_add_space_prefix(False)
    if template is not None:
        writer.add_chat_template(template.source)


def _tokenizer(version: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((version / "tokenizer.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        reason = repr(error)
        raise EnvironmentProblem("compression.cannot_convert", reason=reason) from None
    return found


def _words(described: Mapping[str, Any]) -> str:
    """llama.cpp's name of what parts texts into words. Raises `EnvironmentProblem` for a tokenizer
    that it would not follow."""
    steps = []
    before = described.get("pre_tokenizer") or {}
    for one in before.get("pretokenizers", [before]):
        if one.get("type") == "ByteLevel" and not one.get("add_prefix_space"):
            steps.append("gpt2" if one.get("use_regex", True) else "bytes")
        elif one.get("type") == "Digits" and one.get("individual_digits"):
            steps.append("digits")
        elif one.get("type") == "Split" and one.get("behavior") == "Isolated":
            steps.append(str(one.get("pattern", {}).get("Regex")))
        else:
            steps.append(str(one.get("type")))
    model = described.get("model") or {}
    plain = model.get("type") == "BPE" and not model.get("byte_fallback")
    kind = (described.get("normalizer") or {}).get("type")
    found = _WORDS.get(" ".join(steps))
    if found is None or not plain or kind not in (None, "NFC"):
        given = ", ".join(filter(None, (model.get("type"), kind, *steps)))[:200]
        raise EnvironmentProblem("compression.unknown_tokenizer", given=given)
    return found


def _tensors(version: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Names and float32 values of all weights, one at a time."""
    from safetensors import SafetensorError, safe_open

    files = sorted(version.glob("*.safetensors"))
    try:
        for file in files:
            with safe_open(file, "pt") as opened:
                for name in opened.keys():  # noqa: SIM118 - it is no mapping
                    yield name, opened.get_tensor(name).float().numpy()
    except (OSError, SafetensorError) as error:
        reason = repr(error)
        raise EnvironmentProblem("compression.cannot_convert", reason=reason) from None


def _turned(tensor: str, values: np.ndarray, config: Mapping[str, Any]) -> np.ndarray:
    """`values` as llama.cpp expects them: it turns pairs of neighbours by a position's angle where
    Llama in transformers turns the two halves of a head."""
    if config["model_type"] != "llama":
        return values
    heads = int(config["num_attention_heads"])
    if ".k_proj." in tensor:
        heads = int(config.get("num_key_value_heads") or heads)
    elif ".q_proj." not in tensor:
        return values
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(values.shape)


def _add(writer: gguf.GGUFWriter, place: str, values: np.ndarray, precision: str) -> None:
    """One tensor: vectors in float32, matrices in `precision`. The table of words gives the logits
    too, where four bits would be felt: it has eight at least."""
    import gguf

    types = gguf.GGMLQuantizationType
    if values.ndim < 2:
        writer.add_tensor(place, values.astype(np.float32))
        return
    wanted = precision
    if wanted == "q4_0" and place in ("token_embd.weight", "output.weight"):
        wanted = "q8_0"
    if wanted == "f16" or values.shape[-1] % 32:  # a block has 32 values of a row
        writer.add_tensor(place, values.astype(np.float16))
        return
    kind = types.Q4_0 if wanted == "q4_0" else types.Q8_0
    writer.add_tensor(place, gguf.quants.quantize(values, kind), raw_dtype=kind)
