"""The float reference: a version as training left it, in torch. Needs the extra `train`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from feilun.engines.array import ArrayEngine, Inferred
from feilun.engines.card import Card, read_card
from feilun.errors import CorruptArtifact, EnvironmentProblem
from feilun.tasks import base as tasks
from feilun.tasks.base import Arrays

if TYPE_CHECKING:
    import torch

__all__ = ["FORMATS", "HEAD", "load", "load_module", "set_threads"]

FORMATS = ("head", "transformers")
HEAD = "head.safetensors"


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> ArrayEngine:
    """Loads the version in float32. torch shares one set of threads among all its callers, so
    there is one stream by default, and `threads` holds for the whole process."""
    used = set_threads(folder, card, threads)
    module = load_module(folder, card)
    import torch

    answer: Any = getattr(module, "with_vectors", None)
    facts = {
        "engine": "torch",
        "device": "CPU",
        "threads": used,
        "vectors": answer is not None,
    }

    def infer(arrays: Arrays) -> Inferred:
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        with torch.inference_mode():
            raw, vectors = answer(**tensors) if answer else (module(**tensors), None)
        return (
            np.asarray(raw.numpy(), np.float32),
            None if vectors is None else np.asarray(vectors.numpy(), np.float32),
        )

    return ArrayEngine(folder, card, infer, streams or 1, facts)


def set_threads(folder: Path, card: Card, wanted: int | None) -> int:
    """The threads that torch computes with in this process, set to `wanted` unless it is None.
    Raises `EnvironmentProblem` without torch: the version in `folder` cannot be loaded."""
    try:
        import torch
    except ImportError:
        raise EnvironmentProblem("engines.needs_train", folder=folder, format=card.format) from None
    if wanted:
        torch.set_num_threads(wanted)
    return torch.get_num_threads()


def load_module(folder: Path, card: Card | None = None) -> torch.nn.Module:
    """A version of format `head` or `transformers` as one torch module in evaluation mode:
    ``forward(**arrays)`` gives raw outputs (batch, width). Where an item has a vector,
    ``with_vectors(**arrays)`` gives those and vectors.

    Raises `EnvironmentProblem` without torch, `CorruptArtifact` when tensors are missing or of
    another shape.
    """
    folder = Path(folder)
    card = card or read_card(folder)
    set_threads(folder, card, None)  # the first to say that the extra is not there
    task = tasks.of(card.schema)
    if card.format == "head":
        outputs = len(task.family.outputs(card.schema.labels))
        module = _head(
            task.encoder(folder / "encoder"), folder / HEAD, outputs, task.family.by_position
        )
    else:
        module = task.load(folder, card.schema)
    return module.float().eval().requires_grad_(False)


def _head(encoder: torch.nn.Module, file: Path, labels: int, by_position: bool) -> torch.nn.Module:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(file)
        parts = [tensors[name] for name in ("mean", "scale", "weight", "bias")]
    except (OSError, KeyError, SafetensorError) as error:
        raise CorruptArtifact("engines.bad_weights", file=file, reason=repr(error)) from None
    width = parts[0].shape[0] if parts[0].ndim else 0
    wanted = [(width,), (width,), (labels, width), (labels,)]
    if [tuple(part.shape) for part in parts] != wanted:
        shapes = [f"{name} {tuple(tensor.shape)}" for name, tensor in sorted(tensors.items())]
        raise CorruptArtifact("engines.bad_shapes", file=file, shapes=shapes, labels=labels)
    module: torch.nn.Module = _head_classes()[by_position](encoder, *parts)
    return module


@cache
def _head_classes() -> tuple[type[Any], type[Any]]:
    import torch

    class PositionHead(torch.nn.Module):
        """Vectors of the frozen encoder, standardised, times the trained matrix."""

        mean: torch.Tensor
        scale: torch.Tensor
        weight: torch.Tensor
        bias: torch.Tensor

        def __init__(self, encoder: torch.nn.Module, *parts: torch.Tensor) -> None:
            super().__init__()
            self.encoder = encoder
            for name, part in zip(("mean", "scale", "weight", "bias"), parts, strict=True):
                self.register_buffer(name, part.float())

        def forward(self, **arrays: torch.Tensor) -> torch.Tensor:
            return self._outputs(self.encoder(**arrays))

        def _outputs(self, vectors: torch.Tensor) -> torch.Tensor:
            standardised = (vectors - self.mean) / self.scale
            return torch.nn.functional.linear(standardised, self.weight, self.bias)

    class Head(PositionHead):
        """The same of one vector an item, which can be given beside the outputs."""

        def with_vectors(self, **arrays: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            vectors = self.encoder(**arrays)
            return self._outputs(vectors), vectors

    return Head, PositionHead
