"""A trained version as an OpenVINO model: straight from torch, any batch, any length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from feilun.compression._quiet import quiet
from feilun.engines.array import processor_folder
from feilun.engines.card import Card, write_card
from feilun.engines.openvino import MODEL, openvino
from feilun.engines.torch import load_module
from feilun.errors import EnvironmentProblem
from feilun.tasks import base as tasks
from feilun.tasks.base import Arrays, Processor

if TYPE_CHECKING:
    import torch

__all__ = ["convert", "processor_of", "write_variant"]

_TOLERANCE = 0.01  # of the largest logit; conversion itself was measured to differ by 2e-4


def processor_of(version: Path, card: Card) -> Processor:
    """The processor that the version was trained with."""
    task = tasks.of(card.schema)
    return task.processor(processor_folder(version, card), card.schema.settings)


def convert(version: Path, card: Card) -> Any:
    """The version as an ``openvino.Model`` in float32, whose inputs bear the processor's names. Its
    first output are the raw ones; the second, where the version has them, the vectors.

    The batch may be of any size, and sequences of any length. Raises `EnvironmentProblem` when
    OpenVINO cannot convert it, or answers otherwise than torch afterwards.
    """
    module = load_module(version, card)  # says what is missing where there is no torch
    ov = openvino()
    import torch

    processor = processor_of(version, card)
    items = tasks.of(card.schema).example_items()
    arrays = processor.collate(processor.encode(items))
    example = tuple(torch.from_numpy(array) for array in arrays.values())
    shapes = [(_shape(ov, array), ov.Type(array.dtype)) for array in arrays.values()]
    try:
        with quiet(), torch.no_grad():
            placed = _by_position(module, list(arrays))
            model = ov.convert_model(placed, example_input=example, input=shapes)
            wanted = [output.numpy() for output in placed(*example)]
    except Exception as error:  # converters fail in many ways
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise EnvironmentProblem("compression.cannot_convert", reason=reason[0]) from error
    for port, name in zip(model.inputs, arrays, strict=True):
        port.get_tensor().set_names({name})
    _check(ov, model, arrays, wanted)
    return model


def write_variant(
    model: Any, folder: Path, card: Card, processor: Processor, precision: str
) -> None:
    """A folder that an engine loads: the model in `precision`, the processor's files, the card.

    What is computed in bf16 is stored in half the bytes of float32.
    """
    folder.mkdir(parents=True)
    # Converters number what they name through the life of the process; equal models shall be
    # equal bytes.
    model.set_friendly_name("model")
    for place, node in enumerate(model.get_ordered_ops()):
        node.set_friendly_name(f"{node.get_type_name()}_{place}")
    openvino().save_model(model, folder / MODEL, compress_to_fp16=precision == "bf16")
    processor.save(folder)
    write_card(folder, replace(card, format="openvino", precision=precision))


def _shape(ov: Any, array: np.ndarray) -> Any:
    # Ids and masks are as long as the longest item; pictures are as large as the processor makes
    # them, all the same.
    free = array.ndim if np.issubdtype(array.dtype, np.integer) else 1
    return ov.PartialShape([-1] * free + list(array.shape[free:]))


def _by_position(module: torch.nn.Module, names: list[str]) -> torch.nn.Module:
    import torch

    class ByPosition(torch.nn.Module):
        """Tracing knows inputs by their place; the tasks' modules know them by name."""

        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, *arrays: torch.Tensor) -> tuple[torch.Tensor, ...]:
            named = dict(zip(names, arrays, strict=True))
            both: Any = getattr(self.module, "with_vectors", None)
            return (self.module(**named),) if both is None else tuple(both(**named))

    return ByPosition().eval()


def _check(ov: Any, model: Any, arrays: Arrays, wanted: Sequence[np.ndarray]) -> None:
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled(arrays)
    for place, (name, right) in enumerate(zip(("logits", "vectors"), wanted, strict=False)):
        worst = float(np.abs(found[place] - right).max())
        if not worst <= _TOLERANCE * max(1.0, float(np.abs(right).max())):
            raise EnvironmentProblem(
                "compression.cannot_convert", reason=f"{name} differ by {worst:.3g}"
            )
