"""A base model small enough to train in a test: a two-layer BERT that knows the words of
`helpers.rows`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from helpers.rows import reviews

__all__ = ["write_bert"]

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def write_bert(
    folder: Path,
    width: int = 32,
    seed: int = 0,
    separated: bool = False,
    texts: Sequence[str] | None = None,
) -> Path:
    """A transformers folder with random weights and a tokenizer of the whole words of `texts`, by
    default of reviews. It puts a separator between two texts where they shall be `separated`."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    folder.mkdir(parents=True, exist_ok=True)
    texts = [text for text, _ in reviews(300)] if texts is None else texts
    found = {w for text in texts for w in re.findall(r"[^\W\d]+|[,.]", text)}
    words = {word: place for place, word in enumerate([*_SPECIAL, *sorted(found)])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1" if separated else None,
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    # As the starter's: everything padded to one length, which a processor must undo.
    tokenizer.enable_padding(length=64)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "BertTokenizerFast", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    torch.manual_seed(seed)
    shape = BertConfig(
        vocab_size=len(words),
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=64,
        initializer_range=0.1,
        pad_token_id=0,
    )
    BertModel(shape).save_pretrained(folder)
    return folder
