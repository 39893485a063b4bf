"""Lower layers that stay as they are, and what they gave, kept on disk.

Layers that do not learn give the same for a row in every epoch. So they compute each row once, and
training begins at the first layer that learns (the idea is FreezeOut's, Brock et al. 2017, and
AutoFreeze's, Liu et al. 2021). A row passes them by itself, unpadded: its outputs are the same bits
in whatever batch it comes later, whether they were kept or are computed again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from feilun.messages import t
from feilun.training.batches import Examples
from feilun.training.job import Report
from feilun.types import Progress

if TYPE_CHECKING:
    import torch

__all__ = ["FOLDER", "FrozenLayers", "FrozenRows", "Outputs", "keep"]

FOLDER = "frozen"
"""In a scratch folder: the outputs of the lower layers."""
_KEPT_BYTES = 16 << 30
_OF_FREE = 0.25  # of the disk that is free, which others need too
_HIDDEN = "frozen_outputs"
_CHUNK = 256
_APART = 0.02  # of the largest output, by which batches of padded rows may differ from single ones

Arrays = dict[str, Any]


def kept_bytes(folder: Path) -> int:
    """Bytes of outputs that may be kept in `folder`; rows beyond are computed in every epoch."""
    return min(_KEPT_BYTES, int(shutil.disk_usage(folder).free * _OF_FREE))


def stack_of(model: Any) -> Any:
    """The list of layers of a transformers encoder or decoder, lowest first; None where there is
    not exactly one: networks of convolutions, encoders with a decoder, layers that share weights.
    """
    import torch

    config = model.config
    if getattr(config, "is_encoder_decoder", False):
        return None
    layers = getattr(config, "num_hidden_layers", None)
    found = [
        module
        for module in model.modules()
        if isinstance(module, torch.nn.ModuleList)
        and len(module) == layers
        and len({type(layer) for layer in module}) == 1
    ]
    return found[0] if len(found) == 1 else None


class _Reached(Exception):
    """Carries the first layer's input that learns out of the network."""

    def __init__(self, hidden: torch.Tensor) -> None:
        super().__init__()
        self.hidden = hidden


class FrozenLayers:
    """The embeddings and the lowest `count` layers of `model`: frozen, and passed by while it
    learns. `half` is whether it computes in bfloat16. `restore` makes the model whole again.

    `batch` is one batch of its inputs, without targets. Raises `ValueError` where the model gives
    something else with its layers passed by: where an upper layer needs more of the lower ones than
    the output of the last.
    """

    def __init__(self, model: Any, count: int, half: bool, batch: Mapping[str, Any]) -> None:
        stack = stack_of(model)
        if stack is None or not 0 <= count < len(stack):
            raise ValueError("layers")
        self._model, self._stack, self.half = model, stack, half
        self._lower = list(stack[:count])
        self._given: Any = None
        self._rest: tuple[None, ...] | None = None
        self._handle: Any = None
        self.perturbed: Callable[[Any], Any] | None = None
        """What makes of the outputs what the first learning layer is given."""
        whole = self._watched(batch)
        if not count:
            return
        self._handle = stack[count].register_forward_pre_hook(self._enter, with_kwargs=True)
        self._pass_by()
        try:
            self._check(batch, whole)
        except BaseException:
            self.restore()
            raise

    def _watched(self, batch: Mapping[str, Any]) -> torch.Tensor:
        """Freezes all that is over before the first learning layer begins: the embeddings, the
        layers below, what else they call. The logits of the whole model."""
        first = self._stack[len(self._lower)]
        over: list[Any] = []
        reached = False

        def begin(module: Any, args: Any) -> None:
            nonlocal reached
            reached = True

        def end(module: Any, args: Any, output: Any) -> None:
            if not reached:
                over.append(module)
            if self._lower and module is self._lower[0]:
                self._rest = (None,) * (len(output) - 1) if isinstance(output, tuple) else None

        handles = [module.register_forward_hook(end) for module in self._model.modules()]
        handles.append(first.register_forward_pre_hook(begin))
        try:
            with self._still():
                logits: torch.Tensor = self._model(**batch).logits.float()
        finally:
            for handle in handles:
                handle.remove()
        for module in over:
            module.requires_grad_(False)
        return logits

    def _check(self, batch: Mapping[str, Any], whole: torch.Tensor) -> None:
        import torch

        rows = len(next(iter(batch.values())))
        alone = [
            self.output({k: v[row : row + 1] for k, v in batch.items()}) for row in range(rows)
        ]
        arrays = self.given({**batch, _HIDDEN: padded(alone, batch.get("attention_mask"))})
        with self._still():
            logits = self._model(**arrays).logits.float()
        mask = batch.get("attention_mask")
        if mask is not None and logits.shape[:2] == mask.shape:  # what padding gives is nobody's
            logits, whole = logits[mask.bool()], whole[mask.bool()]
        apart = float((logits - whole).abs().max())
        allowed = _APART * (4 if self.half else 0.1) * float(whole.abs().max()) + 1e-4
        if logits.shape != whole.shape or not apart <= allowed or not torch.isfinite(logits).all():
            raise ValueError(f"{apart:.2g}")

    def _pass_by(self) -> None:
        for place, layer in enumerate(self._lower):
            self._stack[place] = _passed(layer, self._rest)

    def restore(self) -> None:
        """Puts the layers back."""
        for place, layer in enumerate(self._lower):
            self._stack[place] = layer
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _enter(self, module: Any, args: Any, kwargs: Any) -> Any:
        """What the first learning layer is given instead of what came through."""
        if isinstance(self._given, _Catch):
            raise _Reached(args[0] if args else kwargs["hidden_states"])
        came = args[0] if args else kwargs["hidden_states"]
        hidden = self._given.to(came.dtype)
        if self.perturbed is not None:
            hidden = self.perturbed(hidden)
        if args:
            return (hidden, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": hidden}

    def given(self, arrays: Arrays) -> Arrays:
        """Takes the kept outputs out of a batch, for the pass that follows."""
        self._given = arrays.pop(_HIDDEN)
        return arrays

    def output(self, arrays: Mapping[str, Any]) -> torch.Tensor:
        """The lower layers' output for a batch of one row: (positions, width) on the CPU, bfloat16
        where training computes in it, else float32. `arrays` are its inputs alone."""
        import torch

        device = next(self._model.parameters()).device
        before, self._given = self._given, _Catch()
        for place, layer in enumerate(self._lower):
            self._stack[place] = layer
        try:
            with self._still():
                self._model(**{name: array.to(device) for name, array in arrays.items()})
        except _Reached as reached:
            hidden = reached.hidden[0].to(torch.bfloat16 if self.half else torch.float32).cpu()
        finally:
            self._pass_by()
            self._given = before
        mask = arrays.get("attention_mask")
        return hidden if mask is None else hidden[mask[0].bool().cpu()]

    @contextmanager
    def _still(self) -> Iterator[None]:
        """The network as it answers: no dropout, no gradients."""
        import torch

        modes = [(module, module.training) for module in self._model.modules()]
        device = next(self._model.parameters()).device.type
        self._model.eval()
        for layer in self._lower:
            layer.eval()
        try:
            with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=self.half):
                yield
        finally:
            for module, mode in modes:
                module.training = mode


class _Catch:
    """Stands for the outputs of a pass that only goes to the first learning layer."""


def _passed(layer: Any, rest: tuple[None, ...] | None) -> Any:
    """A layer that gives what it is given, with the attributes of `layer` that others read; where
    that gives a tuple, a tuple with `rest` behind."""
    import torch

    class Passed(torch.nn.Module):
        def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            return hidden_states if rest is None else (hidden_states, *rest)

        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)
            except AttributeError:
                return getattr(layer, name)

    return Passed()


def padded(outputs: list[torch.Tensor], mask: torch.Tensor | None) -> torch.Tensor:
    """Outputs of single rows as one tensor (rows, positions, width), zeros where `mask` is 0."""
    import torch

    if mask is None:
        return torch.stack(outputs)
    whole = torch.zeros(*mask.shape, outputs[0].shape[1], dtype=outputs[0].dtype)
    whole[mask.bool()] = torch.cat(outputs)
    return whole


class Outputs:
    """Outputs of rows one after another in two files of `folder`, within `limit` bytes.

    A killed training goes on behind the last chunk that was wholly written.
    """

    def __init__(self, folder: Path, name: str, half: bool, limit: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._rows, self._data = folder / f"{name}.rows", folder / f"{name}.data"
        self._type = np.dtype(np.int16 if half else np.float32)  # bfloat16 as its bits
        self._half, self._limit = half, limit
        self._ends = np.zeros(0, np.int64)
        self._width = 0
        self._read: np.ndarray | None = None
        self._open()

    def __len__(self) -> int:
        return len(self._ends)

    def _open(self) -> None:
        """Reads which rows are whole: the width, then the positions of each row."""
        try:
            raw = self._rows.read_bytes()
        except OSError:
            return
        found = np.frombuffer(raw[: len(raw) // 8 * 8], np.int64)
        if len(found) < 2:
            return
        self._width, ends = int(found[0]), np.cumsum(found[1:])
        size = self._data.stat().st_size if self._data.is_file() else 0
        self._ends = ends[ends * self._width * self._type.itemsize <= size]

    def fill(
        self, rows: int, output: Callable[[int], torch.Tensor], tell: Callable[[int], None]
    ) -> None:
        """Computes and keeps what is missing of `rows`, until the limit is reached."""
        start = len(self)
        with self._rows.open("ab") as places, self._data.open("ab") as data:
            end = int(self._ends[-1]) if start else 0
            # What a kill left behind the last whole row goes.
            places.truncate(8 * (1 + start) if start else 0)
            data.truncate(end * self._width * self._type.itemsize)
            for first in range(start, rows, _CHUNK):
                found = [
                    self._plain(output(row)) for row in range(first, min(rows, first + _CHUNK))
                ]
                if data.tell() + sum(one.nbytes for one in found) > self._limit:
                    break
                if not first:
                    places.write(np.array([found[0].shape[1]], np.int64).tobytes())
                for one in found:
                    data.write(one.tobytes())
                _flush(data)
                places.write(np.array([len(one) for one in found], np.int64).tobytes())
                _flush(places)
                tell(first + len(found))
        self._open()
        if len(self):
            shape = (int(self._ends[-1]), self._width)
            self._read = np.memmap(self._data, self._type, "r", shape=shape)

    def _plain(self, output: torch.Tensor) -> np.ndarray:
        import torch

        found: np.ndarray = (output.view(torch.int16) if self._half else output).numpy()
        return found

    def __getitem__(self, row: int) -> torch.Tensor:
        import torch

        assert self._read is not None
        begin = int(self._ends[row - 1]) if row else 0
        found = torch.from_numpy(np.array(self._read[begin : int(self._ends[row])]))
        return found.view(torch.bfloat16) if self._half else found


def _flush(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


class FrozenRows:
    """`Examples` whose batches hold what the lower layers gave for them, as `FrozenLayers.given`
    takes it."""

    def __init__(
        self,
        rows: Examples,
        layers: FrozenLayers,
        outputs: Outputs,
        tell: Callable[[int], None] = lambda done: None,
    ) -> None:
        self.costs = rows.costs
        self._rows, self._layers, self._outputs = rows, layers, outputs
        outputs.fill(len(rows), self._computed, tell)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: int) -> tuple[int, Any]:
        return place, self._rows[place]

    def collate(self, batch: list[tuple[int, Any]]) -> dict[str, torch.Tensor]:
        """The arrays of one batch, the targets, and the lower layers' outputs."""
        arrays = self._rows.collate([row for _, row in batch])
        found = [
            self._outputs[place] if place < len(self._outputs) else self._computed(place)
            for place, _ in batch
        ]
        arrays[_HIDDEN] = padded(found, arrays.get("attention_mask"))
        return arrays

    def _computed(self, place: int) -> torch.Tensor:
        arrays = self._rows.collate([self._rows[place]])
        return self._layers.output({k: v for k, v in arrays.items() if k != "labels"})


def keep(
    scratch: Path, name: str, rows: Examples, layers: FrozenLayers, report: Report
) -> FrozenRows:
    """`rows` with what `layers` give for them, kept under `name` in `scratch`."""

    def tell(done: int) -> None:
        report(Progress("train", done, len(rows), "rows", note=t("training.note_frozen")))

    folder = scratch / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return FrozenRows(rows, layers, Outputs(folder, name, layers.half, kept_bytes(folder)), tell)
