"""GGUF files: what their header says, whether they are whole, and their tokenizer.

The format is that of the specification (ggml, ``docs/gguf.md``, versions 2 and 3). Only the header
is read: a file of gigabytes costs no more than one of megabytes, and nothing in it is run.
Libraries that load such files crash on some that were cut short: hence the look beforehand.
"""

from __future__ import annotations

import json
import math
import mmap
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feilun.errors import InvalidData

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = [
    "Gguf",
    "byte_characters",
    "found",
    "pieces",
    "read",
    "spelt",
    "tokenizer",
    "tokenizer_config",
]

_MAGIC = b"GGUF"
_SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q",
    12: "<d",
}  # fmt: skip
_TEXT, _LIST = 8, 9
_DEEPEST = 4  # lists in lists
# Values of a block and its bytes, by ggml's number of the type.
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 36), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 30: (1, 2),
}  # fmt: skip

# llama.cpp's numbers of what most weights of a file are kept in.
_PRECISIONS = {
    0: "f32", 1: "f16", 2: "q4_0", 3: "q4_1", 7: "q8_0", 8: "q5_0", 9: "q5_1", 10: "q2_k",
    11: "q3_k_s", 12: "q3_k_m", 13: "q3_k_l", 14: "q4_k_s", 15: "q4_k_m", 16: "q5_k_s",
    17: "q5_k_m", 18: "q6_k", 32: "bf16",
}  # fmt: skip

_CONTROL = 3  # llama.cpp's type of a token that is no text
_NAMED = 4  # one that a user added
_BYTE = 6  # one that is a byte, written as <0xE4>
_SPACE = "\u2581"

# How words are parted before pairs are merged, by llama.cpp's names (``llama-vocab.cpp``); the
# patterns are those of the models' own ``tokenizer.json``.
_GPT2 = ("gpt-2", "default", "phi-2", "mpt", "olmo", "jais")
_DIGITS = ("smollm", "starcoder", "refact", "codeshell")
_QWEN = ("qwen2", "deepseek-r1-qwen", "qwen35")
_LLAMA3 = ("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral")
_QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3_WORDS = _QWEN_WORDS.replace(r"\p{N}|", r"\p{N}{1,3}|", 1)


@dataclass(frozen=True, slots=True)
class Gguf:
    """The header of the GGUF `file`."""

    file: Path
    values: Mapping[str, Any]

    @property
    def architecture(self) -> str:
        """``llama``, ``qwen2``, ..."""
        return str(self.values.get("general.architecture", "-"))

    @property
    def context(self) -> int | None:
        """Tokens that the model reads at most, its answer included."""
        found = self.values.get(f"{self.architecture}.context_length")
        return int(found) if isinstance(found, int) and found > 0 else None

    @property
    def precision(self) -> str:
        """What most weights are kept in: ``q8_0``, ``f16``, ..."""
        kind = self.values.get("general.file_type")
        return _PRECISIONS.get(kind, "gguf") if isinstance(kind, int) else "gguf"

    def number(self, name: str) -> int:
        """A figure of the architecture (``block_count``); 0 where it is not stated."""
        found = self.values.get(f"{self.architecture}.{name}")
        return int(found) if isinstance(found, int) else 0

    @property
    def tokens(self) -> list[str]:
        """The vocabulary, by token id."""
        return [str(one) for one in self._listed("tokens")]

    @property
    def kinds(self) -> list[int]:
        """llama.cpp's type of each token; empty where none are stated."""
        return [int(one) for one in self._listed("token_type")]

    @property
    def merges(self) -> list[str]:
        """The pairs that are merged, the first ones first."""
        return [str(one) for one in self._listed("merges")]

    @property
    def template(self) -> str | None:
        """The chat template."""
        found = self.values.get("tokenizer.chat_template")
        return found if isinstance(found, str) and found.strip() else None

    def token(self, name: str) -> str | None:
        """The special token ``bos``, ``eos``, ``unknown`` or ``padding``."""
        place, tokens = self.values.get(f"tokenizer.ggml.{name}_token_id"), self.tokens
        if not isinstance(place, int) or not 0 <= place < len(tokens):
            return None
        return tokens[place]

    @property
    def stops(self) -> list[int]:
        """The ids of the tokens that end an answer."""
        ids = {self.values.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")}
        ends = {"<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|end|>", "</s>"}
        control = zip(self.tokens, self.kinds, strict=False)
        ids |= {n for n, (text, kind) in enumerate(control) if kind == _CONTROL and text in ends}
        return sorted(one for one in ids if isinstance(one, int))

    def _listed(self, name: str) -> Sequence[Any]:
        found = self.values.get(f"tokenizer.ggml.{name}")
        return found if isinstance(found, list) else []


def found(folder: Path) -> Path | None:
    """The one GGUF file of `folder`; None where it has none. Raises `InvalidData` for several."""
    files = sorted(folder.glob("*.gguf"))
    if len(files) > 1:
        names = [file.name for file in files]
        raise InvalidData("tasks.many_gguf", folder=folder, files=names)
    return files[0] if files else None


def read(file: Path) -> Gguf:
    """The header of `file`. Raises `InvalidData` for a file that is none or was cut short."""
    try:
        with file.open("rb") as opened:
            data = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        with data:
            return Gguf(file, _Reader(data).read())
    except (OSError, ValueError, struct.error, OverflowError, MemoryError) as error:
        raise InvalidData("tasks.bad_gguf", file=file, reason=str(error)) from None


class _Reader:
    """Reads a header from its first byte on. Raises `ValueError` and `struct.error`."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def read(self) -> dict[str, Any]:
        if self._take(4) != _MAGIC:
            raise ValueError("it does not begin with GGUF")
        version = self._scalar("<I")
        if version not in (2, 3):
            raise ValueError(f"version {version}")
        tensors, count = self._scalar("<Q"), self._scalar("<Q")
        values = {}
        for _ in range(count):
            name = self._text()
            values[name] = self._value(self._scalar("<I"), 0)
        ends = [self._tensor() for _ in range(tensors)]
        step = values.get("general.alignment", 32)
        step = step if isinstance(step, int) and step > 0 else 32
        begin = -(-self._at // step) * step
        needed = begin + max(ends, default=0)
        if needed > len(self._data):
            raise ValueError(f"{len(self._data):,} bytes of {needed:,}")
        return values

    def _take(self, length: int) -> bytes:
        if length > len(self._data) - self._at:
            raise ValueError(f"it ends within its header, after {len(self._data):,} bytes")
        self._at += length
        return self._data[self._at - length : self._at]

    def _scalar(self, kind: str) -> Any:
        return struct.unpack(kind, self._take(struct.calcsize(kind)))[0]

    def _text(self) -> str:
        return self._take(self._scalar("<Q")).decode("utf-8", "replace")

    def _value(self, kind: int, depth: int) -> Any:
        if kind in _SCALARS:
            return self._scalar(_SCALARS[kind])
        if kind == _TEXT:
            return self._text()
        if kind != _LIST or depth == _DEEPEST:
            raise ValueError(f"a value of type {kind}")
        inner, length = self._scalar("<I"), self._scalar("<Q")
        if inner in _SCALARS:
            size = struct.calcsize(_SCALARS[inner])
            plain = self._take(size * length)
            return list(struct.unpack(f"<{length}{_SCALARS[inner][1]}", plain))
        return [self._value(inner, depth + 1) for _ in range(length)]

    def _tensor(self) -> int:
        """Where a tensor ends, from the first byte of all tensors."""
        self._text()
        sizes = [self._scalar("<Q") for _ in range(self._scalar("<I"))]
        kind, begin = self._scalar("<I"), self._scalar("<Q")
        values, size = _BLOCKS.get(kind, (1, 0))
        return int(begin + math.prod(sizes) // values * size)


def tokenizer(header: Gguf) -> Tokenizer:
    """The tokenizer that the file describes. Raises `InvalidData` for kinds that it does not say
    enough of: their ``tokenizer.json`` has to lie beside the file."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
    from tokenizers import pre_tokenizers as parts

    model = str(header.values.get("tokenizer.ggml.model", "-"))
    words = str(header.values.get("tokenizer.ggml.pre", "default"))
    tokens, kinds, merges = header.tokens, header.kinds, header.merges
    known = (*_GPT2, *_DIGITS, *_QWEN, *_LLAMA3)
    if model != "gpt2" or words not in known or not tokens or not merges:
        name = f"{model}, {words}"
        raise InvalidData("tasks.gguf_tokenizer", file=header.file, kind=name)
    pairs = [tuple(one.split(" ", 1)) for one in merges]
    bpe = models.BPE(
        vocab={token: place for place, token in enumerate(tokens)},
        merges=[pair for pair in pairs if len(pair) == 2],
        ignore_merges=words in _LLAMA3,
    )
    made = Tokenizer(bpe)
    by_regex = parts.ByteLevel(add_prefix_space=False, use_regex=True)
    if words in _GPT2:
        made.pre_tokenizer = by_regex
    elif words in _DIGITS:
        made.pre_tokenizer = parts.Sequence([parts.Digits(individual_digits=True), by_regex])
    else:
        pattern = Regex(_QWEN_WORDS if words in _QWEN else _LLAMA3_WORDS)
        bare = parts.ByteLevel(add_prefix_space=False, use_regex=False)
        made.pre_tokenizer = parts.Sequence([parts.Split(pattern, "isolated"), bare])
        if words in _QWEN:
            made.normalizer = normalizers.NFC()
    made.decoder = decoders.ByteLevel()
    added = [
        AddedToken(token, special=kind == _CONTROL, normalized=False)
        for token, kind in zip(tokens, kinds, strict=False)
        if kind in (_CONTROL, _NAMED)
    ]
    made.add_tokens(added)
    return made


def tokenizer_config(header: Gguf) -> dict[str, Any]:
    """What ``tokenizer_config.json`` says of the file's tokens."""
    names = {"bos": "bos", "eos": "eos", "unknown": "unk", "padding": "pad"}
    said = {f"{short}_token": header.token(name) for name, short in names.items()}
    return {name: token for name, token in said.items() if token is not None}


def pieces(tokenizer: Tokenizer) -> list[bytes] | None:
    """The bytes of each token, by its id; those of special tokens are none. A character may need
    several tokens. None for tokenizers whose tokens have no bytes of their own."""
    plain = json.loads(tokenizer.to_str())
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    added = {one["id"]: one for one in plain.get("added_tokens", ())}
    kind = (plain.get("decoder") or {}).get("type")
    if kind != "ByteLevel":
        return None
    table = {character: byte for byte, character in byte_characters().items()}

    def of(place: int) -> bytes:
        if place in added:
            one = added[place]
            return b"" if one["special"] else str(one["content"]).encode()
        text = tokenizer.id_to_token(place) or ""
        return bytes(table[one] for one in text if one in table)

    return [of(place) for place in range(max(size, max(added, default=-1) + 1))]


def spelt(header: Gguf) -> list[bytes]:
    """The bytes of each token of the file, by its id; those of control tokens are none."""
    table = {character: byte for byte, character in byte_characters().items()}
    by_bytes = header.values.get("tokenizer.ggml.model") == "gpt2"

    def of(token: str, kind: int) -> bytes:
        if kind == _CONTROL:
            return b""
        if kind == _BYTE:
            return bytes([int(token[3:5], 16)])
        if by_bytes and kind != _NAMED:
            return bytes(table[one] for one in token if one in table)
        return token.replace(_SPACE, " ").encode()

    kinds = header.kinds or [1] * len(header.tokens)
    return [of(token, kind) for token, kind in zip(header.tokens, kinds, strict=False)]


def byte_characters() -> dict[int, str]:
    """The character that stands for each byte in byte-level vocabularies (GPT-2)."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {
        byte: chr(256 + place) for place, byte in enumerate(hidden)
    }
