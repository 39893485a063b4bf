"""Language models small enough to train in a test, with a byte-level tokenizer of their own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["SHOP", "write_causal"]

SHOP: list[tuple[str, str]] = [
    (question.format(thing), answer.format(thing))
    for thing in ("lamp", "kettle", "chair", "灯", "茶壶")
    for question, answer in (
        ("How much is the {}?", "The {} costs 25 euros."),
        ("When will my {} arrive?", "The {} arrives in 3 days. 🚚"),
        ("{}多少钱？", "{}卖 99 元。"),
        ("Where is the {} made?", "In Portugal."),
    )
]
_MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def write_causal(
    folder: Path,
    kind: str = "llama",
    texts: Sequence[str] = (),
    template: str | None = None,
    seed: int = 0,
    **more: Any,
) -> Path:
    """A transformers folder of a causal model with random weights: two layers, four heads of which
    two are keys'. `template` is its chat template; without one it has none."""
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    learnt = [*texts, *(text for pair in SHOP for text in pair), "system user assistant"]
    tokenizer.train_from_iterator(
        learnt * 3,
        trainers.BpeTrainer(
            vocab_size=480,
            special_tokens=_MARKS,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.add_tokens([AddedToken("<product>", normalized=False)])
    whole = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<|endoftext|>",
    )
    whole.chat_template = template
    whole.save_pretrained(folder)
    torch.manual_seed(seed)
    shape = {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
        "initializer_range": 0.08,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    if kind == "qwen3":
        shape["head_dim"] = 32
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**shape, **more}))
    model.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert config["architectures"]
    return folder
