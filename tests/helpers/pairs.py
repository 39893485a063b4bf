"""Encoders with decoders that exist within a second, and pairs of texts for them."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["PAIRS", "write_pair"]

VERBS = {"open": "打开", "close": "关闭", "delete": "删除", "copy": "复制"}
THINGS = {"file": "文件", "window": "窗口", "page": "页面", "image": "图像", "folder": "文件夹"}
PAIRS = [
    (f"{verb.capitalize()} the {thing}", f"{done}{name}")
    for verb, done in VERBS.items()
    for thing, name in THINGS.items()
]


def write_pair(folder: Path, kind: str = "t5") -> Path:
    """A folder with a ``t5``, ``bart`` or ``marian`` of two layers, and a tokenizer of the pairs'
    words."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import (
        BartConfig,
        BartForConditionalGeneration,
        MarianConfig,
        MarianMTModel,
        T5Config,
        T5ForConditionalGeneration,
    )

    folder.mkdir(parents=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(  # whose tokens end within words, so that answers have several
        vocab_size=400,
        special_tokens=["<pad>", "</s>", "<s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=6,
        show_progress=False,
    )
    tokenizer.train_from_iterator([text for pair in PAIRS for text in pair], trainer)
    ends = [("<s>", 2), ("</s>", 1)] if kind == "bart" else [("</s>", 1)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>" if kind == "bart" else "$A </s>", special_tokens=ends
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"pad_token": "<pad>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names), "utf-8")
    size = tokenizer.get_vocab_size()
    torch.manual_seed(0)
    if kind == "t5":
        config = T5Config(
            vocab_size=size, d_model=48, d_kv=12, d_ff=96, num_layers=2, num_heads=4,
            decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
        )  # fmt: skip
        T5ForConditionalGeneration(config).save_pretrained(folder)
        return folder
    layers = {f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in (
        ("layers", 2), ("attention_heads", 4), ("ffn_dim", 96),
    )}  # fmt: skip
    shape = {"vocab_size": size, "d_model": 48, "max_position_embeddings": 64, "pad_token_id": 0,
             "eos_token_id": 1, "forced_eos_token_id": None, **layers}  # fmt: skip
    if kind == "marian":  # begins with padding, which it must not write, as those of OPUS-MT
        marian = MarianConfig(
            decoder_start_token_id=0,
            scale_embedding=True,
            bad_words_ids=[[0]],
            num_beams=4,
            **shape,
        )
        MarianMTModel(marian).save_pretrained(folder)
        return folder
    other = BartConfig(bos_token_id=2, decoder_start_token_id=1, **shape)
    BartForConditionalGeneration(other).save_pretrained(folder)
    return folder
