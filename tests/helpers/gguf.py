"""A language model of two layers in one GGUF file, made within a second: it writes nonsense, but
always the same, in any characters that bytes can be."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from feilun.engines.card import Card, write_card
from feilun.modalities.language.gguf import byte_characters
from feilun.store.records import ModelVersion
from feilun.store.store import Store
from feilun.types import Schema

__all__ = ["SPECIALS", "WRITTEN", "add_written", "tiny_gguf"]

WRITTEN = "written"
"""The project of `add_written`."""

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_CONTROL, _NORMAL = 3, 1
_WIDTH, _HEADS, _KEYS, _LAYERS, _INNER = 64, 2, 1, 2, 128
_MERGES = (("o", "p"), ("op", "e"), ("ope", "n"), ("Ġ", "open"), ("ä", "½"), ("ä½", "ł"))

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def tiny_gguf(
    file: Path,
    *,
    architecture: str = "llama",
    context: int = 256,
    seed: int = 0,
    tokenizer: str = "gpt2",
) -> Path:
    """Writes the model to `file`, which is returned."""
    from gguf import GGUFWriter, LlamaFileType

    lots = np.random.default_rng(seed)
    tokens = [*SPECIALS, *byte_characters().values(), *("".join(pair) for pair in _MERGES)]
    kinds = [_CONTROL] * len(SPECIALS) + [_NORMAL] * (len(tokens) - len(SPECIALS))
    writer = GGUFWriter(file, architecture)
    writer.add_context_length(context)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_INNER)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_KEYS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(_WIDTH // _HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(LlamaFileType.MOSTLY_F16)
    writer.add_tokenizer_model(tokenizer)
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in _MERGES])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_chat_template(TEMPLATE)

    def add(name: str, *shape: int) -> None:
        values = lots.normal(0, 0.3, shape)
        one = values.astype(np.float16) if len(shape) > 1 else np.ones(shape, np.float32)
        writer.add_tensor(name, one)

    keys = _WIDTH // _HEADS * _KEYS
    add("token_embd.weight", len(tokens), _WIDTH)
    add("output_norm.weight", _WIDTH)
    add("output.weight", len(tokens), _WIDTH)
    for layer in range(_LAYERS):
        inner = f"blk.{layer}."
        add(inner + "attn_norm.weight", _WIDTH)
        add(inner + "attn_q.weight", _WIDTH, _WIDTH)
        add(inner + "attn_k.weight", keys, _WIDTH)
        add(inner + "attn_v.weight", keys, _WIDTH)
        add(inner + "attn_output.weight", _WIDTH, _WIDTH)
        add(inner + "ffn_norm.weight", _WIDTH)
        add(inner + "ffn_gate.weight", _INNER, _WIDTH)
        add(inner + "ffn_up.weight", _INNER, _WIDTH)
        add(inner + "ffn_down.weight", _WIDTH, _INNER)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def add_written(
    store: Store, *, longest: int, config: dict[str, object] | None = None
) -> ModelVersion:
    """The model as a chat project whose first version is live; an answer has at most `longest`
    tokens."""
    folder = store.artifacts.new()
    tiny_gguf(folder / "model.gguf", context=2048)
    card = Card("gguf", Schema("chat", (), {}), "prompt", extra={"longest": longest})
    write_card(folder, card)
    weights = store.publish(folder, "weights").ref
    store.catalog.add_project(WRITTEN, "chat")
    version = store.catalog.add_model_version(
        WRITTEN, "prompt", weights=weights, config=config or {}
    )
    store.catalog.set_live(WRITTEN, version.id)
    return version
