"""How large a base model is, read from its files without loading it."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feilun.errors import InvalidData
from feilun.modalities.language import architectures

__all__ = ["VOCABULARY", "Body", "describe", "fresh"]

VOCABULARY = 8000
"""Words of a network that is begun for rows, at most."""


@dataclass(frozen=True, slots=True)
class Body:
    """`parameters` in all, `active` ones that every token passes (no embedding tables), `bytes` of
    the weights as float32, `width` and `layers` of the network, and `per_token`: the cost units
    (tokens, pixels) that make one position of the network, 1 for text. `convolves` is whether it
    is made of convolutions, which torch learns slowly in bfloat16 (measured: seven times);
    `vocabulary` is how many words each position of a network that writes gives a logit for;
    `stacked` is whether it is one stack of layers with weights of their own, whose lower ones can
    stay as they are; `usual` is the cost of an item where nothing has read the rows yet."""

    parameters: int
    active: int
    width: int
    layers: int
    per_token: float = 1.0
    convolves: bool = False
    vocabulary: int = 0
    stacked: bool = False
    usual: float = 0.0

    @property
    def bytes(self) -> int:
        """Size in float32."""
        return 4 * self.parameters

    def forward(self, cost: float) -> float:
        """Floating-point operations of one item of this `cost` passing once."""
        tokens = max(1.0, cost / self.per_token)
        return 2 * self.active * tokens + 4 * tokens * tokens * self.width * self.layers

    def activations(self, cost: float) -> float:
        """Bytes that training keeps of one item of this `cost` until its gradients are done.

        About 60 values a position, width and layer, measured with MiniLM in bfloat16.
        """
        positions = cost / self.per_token
        # Logits, their softmax and its gradient.
        words = 12.0 * self.vocabulary
        return positions * (60.0 * self.width * max(1, self.layers) + words)


# Small networks that begin from nothing: positions are pixels over the square of the mean stride.
_SCRATCH = {
    "scratch:resnet": Body(700_000, 700_000, 64, 6, per_token=64.0, convolves=True),
    "scratch:vit": Body(250_000, 230_000, 96, 3, per_token=16.0),
}
_TEXT = 128.0  # tokens of a text and its answer, for a plan without a tokenizer
_WRITERS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForMaskedLM")
_CONVOLUTION = 256.0  # pixels a position, mean over the stages of ImageNet networks


def fresh(objective: architectures.Objective, size: architectures.Size, vocabulary: int) -> Body:
    """The size of a transformer that begins from nothing with so many words."""
    layers, width = architectures.SIZES[size]
    passing = architectures.parameters(objective, size, vocabulary)
    layers *= 2 if objective == "spans" else 1  # a decoder, too
    return Body(passing, passing, width, layers, vocabulary=vocabulary, usual=_TEXT)


def describe(base: Path | str | None) -> Body:
    """The size of a base folder, or of a network that begins from nothing."""
    named = architectures.parsed(base)
    if named is not None:
        return fresh(*named, VOCABULARY)
    if not isinstance(base, Path):
        return _SCRATCH.get(str(base), _SCRATCH["scratch:resnet"])
    try:
        config = json.loads((base / "config.json").read_text("utf-8"))
        shapes = _shapes(base)
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise InvalidData("training.bad_config", folder=base, reason=repr(error)) from None
    parameters = sum(math.prod(shape) for shape in shapes.values())
    tables = sum(math.prod(shape) for name, shape in shapes.items() if _is_table(name, shape))
    width = _number(config, "hidden_size", "dim", "d_model", "n_embd") or _widest(config)
    counted = _number(config, "num_hidden_layers", "n_layers", "n_layer", "num_layers")
    layers = counted or 12
    patch = config.get("patch_size")
    convolves = "num_channels" in config and not isinstance(patch, int)
    per_token = _CONVOLUTION if convolves else float(patch**2) if isinstance(patch, int) else 1.0
    active, words = parameters - tables, 0
    if any(str(name).endswith(_WRITERS) for name in config.get("architectures") or ()):
        words = _number(config, "vocab_size")
        if config.get("tie_word_embeddings", True) and "lm_head.weight" not in shapes:
            active += words * width  # the table of words is multiplied with at the end
    shares = config.get("is_encoder_decoder") or "num_hidden_groups" in config
    stacked = counted > 1 and not convolves and not shares
    return Body(parameters, active, width, layers, per_token, convolves, words, stacked)


def _shapes(folder: Path) -> dict[str, list[int]]:
    """Name and shape of every tensor, from the headers of the safetensors files."""
    shapes: dict[str, list[int]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            if length > 100_000_000:
                raise ValueError(f"{file.name}: header of {length} bytes")
            header: dict[str, Any] = json.loads(opened.read(length))
        shapes |= {name: v["shape"] for name, v in header.items() if name != "__metadata__"}
    return shapes


def _is_table(name: str, shape: list[int]) -> bool:
    """Whether tokens look up a row of this tensor instead of being multiplied with it."""
    return len(shape) == 2 and ("embed" in name or name.endswith(("wte.weight", "wpe.weight")))


def _number(config: dict[str, Any], *names: str) -> int:
    for name in names:
        if isinstance(config.get(name), int):
            return int(config[name])
    return 0


def _widest(config: dict[str, Any]) -> int:
    sizes = config.get("hidden_sizes")
    return max(sizes) if isinstance(sizes, list) and sizes else 768
