"""Transformers models for tasks: read from local folders as safetensors, never with remote code.

torch and transformers are imported inside the functions: serving uses this room without them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feilun.errors import InvalidData
from feilun.modalities import attached, narrowed

if TYPE_CHECKING:
    import torch

__all__ = ["knows", "name_labels", "quiet", "read", "read_classifier"]


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps transformers from printing bars and reports of what a checkpoint lacks."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def read(auto: Any, folder: Path, **changes: Any) -> torch.nn.Module:
    """The model of `folder` by the transformers class `auto`, in float32 and ready to answer.

    Raises `InvalidData` naming the reason when the folder holds none that can be read safely.
    """
    import torch
    from transformers import AutoConfig

    try:
        with quiet():
            config = changes.get("config") or AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
            if narrowed.is_narrowed(config):
                changes["ignore_mismatched_sizes"] = True
            model = auto.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                **changes,
            )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InvalidData("tasks.base_unreadable", folder=folder, reason=reason) from None
    module: torch.nn.Module = model.eval()
    narrowed.restore(module, folder)
    attached.restore(module, folder)
    return module


def read_classifier(
    auto: Any, folder: Path, labels: Sequence[str], problem: str | None
) -> torch.nn.Module:
    """The network of `folder` with a head that gives `labels` (names of outputs) in this order;
    `problem` is what transformers calls the problem.

    A head that gives some of `labels`, and nothing else, keeps what it knows: its rows are put
    in order, and rows of new labels begin small and random. Any other head begins anew.
    """
    config = _configured(folder)
    known = _outputs(config)
    if not known:
        name_labels(config, labels, problem)
        return read(auto, folder, config=config)
    model: Any = read(auto, folder)
    if known != list(labels):
        kept = known if set(known) <= set(labels) else []
        _replace_head(model, kept, labels, len(known), folder)
        name_labels(model.config, labels, problem)
        model.num_labels = len(labels)
    return model  # type: ignore[no-any-return]


def knows(folder: Path, labels: Sequence[str]) -> bool:
    """Whether the head of `folder` gives some of `labels`, and nothing else."""
    known = _outputs(_configured(folder))
    return bool(known) and set(known) <= set(labels)


def _configured(folder: Path) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InvalidData("tasks.base_unreadable", folder=folder, reason=reason) from None


def _outputs(config: Any) -> list[str]:
    """What the head of a network of this configuration gives; nothing where it has none."""
    if not any("Classification" in name for name in config.architectures or ()):
        return []
    return [config.id2label[index] for index in range(len(config.id2label))]


def name_labels(config: Any, labels: Sequence[str], problem: str | None) -> None:
    """Writes the names of the outputs and the `problem` into a transformers configuration."""
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: index for index, label in enumerate(labels)}
    config.problem_type = problem


def _replace_head(
    model: Any, known: Sequence[str], labels: Sequence[str], width: int, folder: Path
) -> None:
    """Puts a layer for `labels` in the place of the one with `width` outputs, keeping the rows of
    `known`."""
    import torch

    heads = [
        (name, layer)
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear) and layer.out_features == width
    ]
    if not heads:
        raise InvalidData("tasks.head_unknown", folder=folder)
    name, old = heads[-1]
    new = torch.nn.Linear(old.in_features, len(labels), bias=old.bias is not None)
    with torch.no_grad():
        new.weight.normal_(std=getattr(model.config, "initializer_range", None) or 0.02)
        if new.bias is not None:
            new.bias.zero_()
        for row, label in enumerate(known):
            new.weight[labels.index(label)] = old.weight[row]
            if new.bias is not None:
                new.bias[labels.index(label)] = old.bias[row]
    parent, _, leaf = name.rpartition(".")
    owner = model.get_submodule(parent)
    if isinstance(owner, torch.nn.Sequential):
        owner[int(leaf)] = new
    else:
        setattr(owner, leaf, new)
