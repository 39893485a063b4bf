"""What only classes have is spoken of where classes are, so that the other rooms serve any family.

Some words have a second meaning, and stand elsewhere for that alone: a language model has a
softmax over its vocabulary, and a caller may say at which temperature words are drawn from it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import feilun

SOURCE = Path(feilun.__file__).parent
CLASSES = ("families/classes/", "metrics/probabilities.py")
DRAWN = (  # texts are drawn from a model, by a caller's ``temperature``
    "api/chat.py", "api/completions.py", "api/openapi_texts.py", "api/options.py",
    "api/responses.py", "client/__init__.py", "engines/_labelling.py", "engines/_samples.py",
    "engines/_llama_cpp.py", "engines/_streaming.py", "engines/_worded.py", "engines/causal.py",
    "engines/genai.py", "engines/llama_cpp.py",
    "engines/ngrams.py", "engines/pretrained.py", "engines/seq2seq.py", "engines/upstream.py",
    "evaluation/judge.py", "families/generation.py",
)  # fmt: skip
ELSEWHERE = {
    "confusion": (),
    "temperature": (
        *DRAWN,
        "training/methods/contrastive.py",  # of InfoNCE
        "demo/tasks/forecasting.py",  # of the air
    ),
    "softmax": (
        "engines/_continuations.py", "engines/causal.py", "engines/pretrained.py",
        "engines/seq2seq.py",  # over a vocabulary
        "engines/_extract.py", "families/_bio.py",  # over values of a field, and over tags
        "families/objective.py", "training/body.py",  # over whatever a network gives
        "training/folds.py",  # over labels of any family that the linear baseline learns
        "compression/quantize.py",  # an operation of a network
    ),
    "logits of the labels|label logits": (),
}  # fmt: skip


@pytest.mark.parametrize("word", ELSEWHERE)
def test_only_classes_speak_of(word: str) -> None:
    found = {
        name
        for file in SOURCE.rglob("*.py")
        if not (name := file.relative_to(SOURCE).as_posix()).startswith(CLASSES)
        and re.search(word, file.read_text("utf-8"), re.IGNORECASE)
    }
    assert found == set(ELSEWHERE[word])
