"""Language models in one GGUF file of any architecture that llama.cpp knows, by llama.cpp.

A version is what one of `genai` is, and is served the same way. llama.cpp's server tells no
``logprobs`` of tokens in the middle of a character: each is read once more for its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from feilun.engines._generator import LLAMA_CPP
from feilun.engines.card import Card
from feilun.engines.genai import GenaiEngine, needs, prompt

__all__ = ["FORMATS", "LlamaCppEngine", "load", "prompt"]

FORMATS = (LLAMA_CPP,)


class LlamaCppEngine(GenaiEngine):
    """Writes by a language model. Greedy, unless a caller names a temperature."""

    name = LLAMA_CPP
    library: ClassVar = LLAMA_CPP


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> LlamaCppEngine:
    """Opens a version. Raises `EnvironmentProblem` where xllamacpp is not installed, `InvalidData`
    for a model that llama.cpp does not open."""
    needs(LLAMA_CPP, folder)
    engine = LlamaCppEngine(folder, card, threads)
    engine.start()
    return engine
