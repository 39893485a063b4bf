"""Vectors of virtual tokens that learn while everything else stays: what prompt-tuning and p-tuning
have in common.

The base is first made one that has the tokens (`prepared`): its table of words gets a row for each,
beginning as the rows of words that the training texts hold. A model that writes gets a table of its
own for its answers, where their rows are the mean of all: it never writes one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from feilun.modalities import attached, checkpoints
from feilun.modalities.language import virtual_tokens
from feilun.tasks import base as tasks
from feilun.training.adaptation import Adaptation, freeze
from feilun.training.batches import Examples
from feilun.training.job import TrainJob

__all__ = ["VirtualTokens", "prepared"]

_FOLDER = "with_virtual_tokens"
_WHOLE = "whole.json"
_ROWS = 200  # training rows whose words the tokens begin as


def prepared(job: TrainJob, count: int) -> TrainJob:
    """`job` with a base, made in its scratch, that has `count` virtual tokens; as it is where it
    goes on from a version that has them."""
    from transformers import AutoConfig

    source = job.previous or job.base
    assert isinstance(source, Path)  # `needs_base`, and a folder
    processor: Any = tasks.get(job.task).processor(source, job.task_settings)
    if job.previous is not None:
        return job
    folder = job.scratch / _FOLDER
    if not (folder / _WHOLE).is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        config = AutoConfig.from_pretrained(source, local_files_only=True, trust_remote_code=False)
        model = _read(source, config)
        writes = model.get_output_embeddings() is not None and not config.is_encoder_decoder
        processor.tokenizer.no_truncation()
        processor.save(folder)
        virtual_tokens.add(processor.tokenizer, folder, count, source, template=writes)
        _grow(model, virtual_tokens.ids_of(processor.tokenizer))
        attached.detach(model, folder)
        (folder / "config.json").unlink(missing_ok=True)
        model.save_pretrained(folder)
        (folder / _WHOLE).write_text(json.dumps(count), "utf-8")
    return replace(job, base=folder)


class VirtualTokens(Adaptation):
    """The rows of the virtual tokens learn, by themselves or through a network that `encoder` makes
    for vectors of a width: what it gives is added to them."""

    above_frozen = False

    def __init__(self, job: TrainJob, encoder: Callable[[Any], Any] | None = None) -> None:
        self._job = job
        self._encoder = encoder

    def wrap(self, model: Any, rows: Examples, steps: int) -> Any:
        source = self._job.previous or self._job.base
        processor: Any = tasks.get(self._job.task).processor(source, self._job.task_settings)
        ids = virtual_tokens.ids_of(processor.tokenizer)
        tables = _tables(model)
        begin = tables[0].weight.detach()[ids]
        if self._job.previous is None:
            special = set(processor.tokenizer.get_added_tokens_decoder())
            begin = self._words(rows, tables[0], special, len(ids))
        encoder = self._encoder(begin.shape[1]) if self._encoder else None
        model.virtual = _rows()(begin.clone(), ids[0], encoder)
        for table in tables:
            table.register_forward_hook(_Lookup(model.virtual))
        freeze(model, {f"virtual.{name}" for name, _ in model.virtual.named_parameters()})
        return model

    def unwrap(self, model: Any) -> Any:
        import torch

        with torch.no_grad():
            rows, first = model.virtual(), model.virtual.first
            for table in _tables(model):
                table.weight[first : first + len(rows)] = rows
                hooks = table._forward_hooks
                for number in [n for n, hook in hooks.items() if isinstance(hook, _Lookup)]:
                    del hooks[number]
        del model.virtual
        return model

    def _words(self, rows: Examples, table: Any, special: set[int], count: int) -> Any:
        """Vectors of `count` words, none of them `special`, drawn from the training rows."""
        import numpy as np

        read = [rows[place][0].arrays["input_ids"] for place in range(min(_ROWS, len(rows)))]
        found = np.unique(np.concatenate(read))
        words = found[~np.isin(found, sorted(special))]
        words = words if len(words) else found
        drawn = np.random.default_rng(self._job.seed).choice(
            words, count, replace=len(words) < count
        )
        return table.weight.detach()[drawn.tolist()]


class _Lookup:
    """A hook of a table of words, which gives the vectors of virtual tokens."""

    def __init__(self, virtual: Any) -> None:
        self._virtual = virtual

    def __call__(self, table: Any, given: Any, out: Any) -> Any:
        import torch

        rows = self._virtual() * getattr(table, "embed_scale", 1.0)
        places = given[0] - self._virtual.first
        inside = (places >= 0) & (places < len(rows))
        return torch.where(
            inside[..., None], rows[places.clamp(0, len(rows) - 1)].to(out.dtype), out
        )


def _rows() -> type[Any]:
    import torch

    class Rows(torch.nn.Module):
        """Gives the vectors of the virtual tokens, the first of which has the id `first`."""

        def __init__(self, begin: torch.Tensor, first: int, encoder: Any) -> None:
            super().__init__()
            self.begin = torch.nn.Parameter(begin)
            self.first = first
            self.encoder = encoder

        def forward(self) -> torch.Tensor:
            if self.encoder is None:
                return self.begin
            with torch.autocast(self.begin.device.type, enabled=False):
                added: torch.Tensor = self.begin + self.encoder(self.begin)
            return added

    return Rows


def _tables(model: Any) -> list[Any]:
    """All tables that words are looked up in; an encoder and its decoder may have their own."""
    import torch

    shape = model.get_input_embeddings().weight.shape
    return [
        module
        for module in model.modules()
        if isinstance(module, torch.nn.Embedding) and module.weight.shape == shape
    ]


def _read(source: Path, config: Any) -> Any:
    import transformers

    names = config.architectures or ["AutoModel"]
    found = getattr(transformers, names[0], transformers.AutoModel)
    return checkpoints.read(found, source)


def _grow(model: Any, ids: list[int]) -> None:
    """Gives the tables of `model` rows for `ids`, and a model that writes a table of its own for
    its answers."""
    import torch

    model.resize_token_embeddings(max(model.config.vocab_size, ids[-1] + 1), mean_resizing=False)
    words = model.get_output_embeddings()
    if words is None:
        return
    seen: set[int] = set()
    for module in model.modules():
        weight = module._parameters.get("weight")
        if weight is not None and id(weight) in seen:
            module.weight = torch.nn.Parameter(weight.detach().clone())
        seen.add(id(weight))
    model.config.tie_word_embeddings = False
    with torch.no_grad():
        words.weight[ids] = words.weight[: ids[0]].mean(dim=0)
        if words.bias is not None:
            words.bias[ids] = words.bias[: ids[0]].mean()
