"""Texts: what is accepted, and the tokenizer that training and serving share, without torch."""

from __future__ import annotations

import json
import math
import shutil
import string
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from feilun.errors import InvalidData
from feilun.modalities.base import Arrays, Encoded
from feilun.modalities.language import gguf
from feilun.types import Item

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["MAX_CHARACTERS", "TextProcessor", "check", "input_schema"]

MAX_CHARACTERS = 1_000_000
"""Characters of one text; more is a file in the wrong place."""

_CHARACTERS_PER_TOKEN = 100
"""No more characters than this times the tokens kept are tokenised, so that a huge text costs no
more than a long one. What lies beyond counts as cut."""

_PLAIN = string.ascii_letters + string.digits
_WIDE = "".join(chr(ord(letter) + 0xFEE0) for letter in _PLAIN)
_CARD = "feilun.json"  # of a version

_FILES = ("tokenizer_config.json", "special_tokens_map.json")

# These count positions from the padding id on, so that many of the table's rows are not for tokens.
_OFFSET_POSITIONS = frozenset(
    {"camembert", "data2vec-text", "longformer", "mpnet", "roberta", "xlm-roberta"}
)


def check(item: Item, column: str) -> str:
    """The text of `item`: a string, a number, or ``{column: text}``. NUL and halves of surrogate
    pairs, which no database and no tokenizer takes, are dropped or replaced by U+FFFD.

    Raises `InvalidData` for anything else and for more than `MAX_CHARACTERS` characters.
    """
    value = item
    if isinstance(value, Mapping):
        if set(value) != {column}:
            raise InvalidData("tasks.wrong_columns", given=sorted(value), expected=[column])
        value = value[column]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidData("tasks.no_text", given=str(value))
        whole = isinstance(value, float) and value.is_integer()
        value = str(int(value)) if whole else str(value)
    if not isinstance(value, str):
        raise InvalidData("tasks.no_text", given=type(value).__name__)
    if len(value) > MAX_CHARACTERS:
        raise InvalidData("tasks.text_too_long", length=len(value), limit=MAX_CHARACTERS)
    if "\0" in value:
        value = value.replace("\0", "")
    return (
        value
        if _encodable(value)
        else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )


def _encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def input_schema(column: str) -> dict[str, Any]:
    """JSON Schema of a text, bare or in its column."""
    text = {"type": "string", "maxLength": MAX_CHARACTERS}
    return {
        "anyOf": [
            text,
            {
                "type": "object",
                "properties": {column: text},
                "required": [column],
                "additionalProperties": False,
            },
        ]
    }


class TextProcessor:
    """A tokenizer and how its model wants batches padded.

    Whatever padding and truncation the tokenizer's file asks for is reset: a starter pads
    everything to 128 tokens, which costs four times the work and fails nothing.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        max_length: int,
        config: Mapping[str, Any],
        tokenizer_config: Mapping[str, Any],
        source: Path,
    ) -> None:
        stated = tokenizer.padding or {}
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._plain = tokenizer.to_str()
        self._config = config
        self._source = source
        self.max_length = _limit(max_length, config, tokenizer_config)
        tokenizer.enable_truncation(self.max_length)
        self.tokenizer = tokenizer
        self._specials = tokenizer.num_special_tokens_to_add(False)
        self.pad_id = _pad_id(tokenizer, config, tokenizer_config, stated)
        self.unknown_id = _unknown_id(tokenizer, tokenizer_config)
        self.pads_left = tokenizer_config.get("padding_side") == "left"
        self.takes_types = config.get("type_vocab_size", 0) > 1
        self._characters = self.max_length * _CHARACTERS_PER_TOKEN
        self.folds = False
        """Whether `read` lets a base read what its own tokenizer does not know."""

    @classmethod
    def read(cls, folder: Path | str | None, max_length: int) -> Self:
        """The processor of a base model's or a version's folder. Where a base does not know
        full-width letters, its tokenizer reads texts in their compatible form (Unicode's NFKC): so
        it is written into versions, and every place in a text still has its tokens. What a version
        was trained with is not changed.

        Raises `InvalidData` when `folder` is none or keeps no tokenizer.
        """
        if not isinstance(folder, Path):
            raise InvalidData("tasks.text_needs_base", base=folder)
        if not (folder / "tokenizer.json").is_file() and (file := gguf.found(folder)):
            header = gguf.read(file)
            config = {"max_position_embeddings": header.context}
            words = gguf.tokenizer_config(header)
            return cls(gguf.tokenizer(header), max_length, config, words, folder)
        tokenizer, words = _tokenizer(folder), _json(folder / "tokenizer_config.json")
        version = any((place / _CARD).is_file() for place in (folder, folder.parent))
        folds = not version and _fold(tokenizer, _unknown_id(tokenizer, words))
        found = cls(tokenizer, max_length, _json(folder / "config.json"), words, folder)
        found.folds = folds
        return found

    def encode(self, items: Sequence[Item]) -> list[Encoded]:
        """Token ids of each text; `Encoded.cut` counts the tokens beyond ``max_length``."""
        texts = [str(item) for item in items]
        cut = [max(0, len(text) - self._characters) for text in texts]
        if any(cut):
            texts = [text[: self._characters] for text in texts]
        encoded = []
        for encoding, over in zip(self.tokenizer.encode_batch_fast(texts), cut, strict=True):
            ids = np.array(encoding.ids or [self.pad_id], dtype=np.int32)
            lost = sum(len(part) - self._specials for part in encoding.overflowing)
            lost += self._tokens(over)
            encoded.append(Encoded({"input_ids": ids}, len(ids), lost))
        return encoded

    def _tokens(self, characters: int) -> int:
        """About how many tokens this many characters are, at least."""
        return math.ceil(characters / _CHARACTERS_PER_TOKEN)

    def collate(self, batch: Sequence[Encoded], multiple: int = 1) -> Arrays:
        """``input_ids``, ``attention_mask`` and, where the model takes them, ``token_type_ids``:
        int64 (batch, longest), the longest rounded up to a `multiple` within ``max_length``."""
        lengths = np.array([item.cost for item in batch])
        longest = min(-(-int(lengths.max()) // multiple) * multiple, self.max_length)
        places = np.arange(longest)
        if self.pads_left:
            mask = places >= (longest - lengths)[:, None]
        else:
            mask = places < lengths[:, None]
        ids = np.full(mask.shape, self.pad_id, dtype=np.int64)
        ids[mask] = np.concatenate([item.arrays["input_ids"] for item in batch])
        arrays = {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
        if self.takes_types:
            arrays["token_type_ids"] = np.zeros_like(ids)
        return arrays

    def save(self, folder: Path) -> None:
        """Writes ``tokenizer.json`` without padding and truncation, the files beside it, and
        ``config.json`` where there is none yet."""
        (folder / "tokenizer.json").write_text(self._plain, "utf-8")
        for name in _FILES:
            if (self._source / name).is_file() and not _same(self._source / name, folder / name):
                shutil.copyfile(self._source / name, folder / name)
        if self._config and not (folder / "config.json").exists():
            text = json.dumps(self._config, ensure_ascii=False, indent=2, sort_keys=True)
            (folder / "config.json").write_text(text + "\n", "utf-8")

    def folded_share(self, items: Sequence[Item]) -> float:
        """Share of these texts that are read in another form than they came (see `read`)."""
        if not items or not self.folds:
            return 0.0
        texts = [str(item) for item in items]
        return sum(not unicodedata.is_normalized("NFKC", text) for text in texts) / len(texts)

    def unknown_share(self, items: Sequence[Item]) -> float:
        """Share of these texts' tokens, special ones apart, that the vocabulary does not have."""
        if self.unknown_id is None:
            return 0.0
        texts = [str(item)[: self._characters] for item in items]
        unknown = total = 0
        for encoding in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False):
            unknown += encoding.ids.count(self.unknown_id)
            total += len(encoding.ids)
        return unknown / total if total else 0.0


def _fold(tokenizer: Tokenizer, unknown: int | None) -> bool:
    """Lets a tokenizer that does not know most full-width letters and digits read NFKC. Whether it
    was needed."""
    from tokenizers import normalizers

    if unknown is None:
        return False  # it reads bytes
    wide = tokenizer.encode_batch_fast(list(_WIDE), add_special_tokens=False)
    plain = tokenizer.encode_batch_fast(list(_PLAIN), add_special_tokens=False)
    lost = sum(
        unknown in one.ids and unknown not in other.ids
        for one, other in zip(wide, plain, strict=True)
    )
    if 2 * lost <= len(_WIDE):
        return False
    own = tokenizer.normalizer
    steps = [normalizers.NFKC(), *([own] if own is not None else [])]
    tokenizer.normalizer = normalizers.Sequence(steps)
    return True


def _same(first: Path, second: Path) -> bool:
    return second.exists() and first.samefile(second)


def _json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise InvalidData("tasks.not_json", file=file, reason=str(error)) from None
    if not isinstance(content, dict):
        raise InvalidData("tasks.not_json", file=file, reason=type(content).__name__)
    return content


def _tokenizer(folder: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    file = folder / "tokenizer.json"
    if not file.is_file():
        return _converted(folder)
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # noqa: BLE001 - the library raises bare Exception
        raise InvalidData("tasks.bad_tokenizer", folder=folder, reason=str(error)) from None


def _converted(folder: Path) -> Tokenizer:
    """The fast tokenizer of a folder that holds an older form alone, such as ``vocab.txt``."""
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise InvalidData("tasks.no_tokenizer", folder=folder, reason="") from None
    if not any((folder / name).is_file() for name in ("vocab.txt", "vocab.json", "spiece.model")):
        raise InvalidData("tasks.no_tokenizer", folder=folder, reason="")
    try:
        slow = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        tokenizer: Tokenizer = slow.backend_tokenizer
    except (AttributeError, ImportError, OSError, ValueError) as error:
        raise InvalidData("tasks.no_tokenizer", folder=folder, reason=str(error)) from None
    return tokenizer


def _limit(wanted: int, config: Mapping[str, Any], tokenizer_config: Mapping[str, Any]) -> int:
    """`wanted`, or less where the model has fewer positions."""
    limits = [wanted]
    positions = config.get("max_position_embeddings")
    if isinstance(positions, int) and positions > 0:
        if config.get("model_type") in _OFFSET_POSITIONS:
            positions -= int(config.get("pad_token_id") or 0) + 1
        limits.append(positions)
    stated = tokenizer_config.get("model_max_length")
    if isinstance(stated, (int, float)) and 0 < stated < 1_000_000:
        limits.append(int(stated))
    return min(limits)


def _content(token: Any) -> str | None:
    """A special token of ``tokenizer_config.json``: a string, or an object with its content."""
    if isinstance(token, Mapping):
        token = token.get("content")
    return token if isinstance(token, str) else None


def _pad_id(
    tokenizer: Tokenizer,
    config: Mapping[str, Any],
    tokenizer_config: Mapping[str, Any],
    stated: Mapping[str, Any],
) -> int:
    for name in (tokenizer_config.get("pad_token"), stated.get("pad_token")):
        token = _content(name)
        index = tokenizer.token_to_id(token) if token else None
        if index is not None:
            return int(index)
    if isinstance(config.get("pad_token_id"), int):
        return int(config["pad_token_id"])
    for token in ("[PAD]", "<pad>", "<|endoftext|>", "</s>"):
        index = tokenizer.token_to_id(token)
        if index is not None:
            return int(index)
    return 0  # masked places are never read


def _unknown_id(tokenizer: Tokenizer, tokenizer_config: Mapping[str, Any]) -> int | None:
    for name in (tokenizer_config.get("unk_token"), "[UNK]", "<unk>"):
        token = _content(name)
        index = tokenizer.token_to_id(token) if token else None
        if index is not None:
            return int(index)
    return None
