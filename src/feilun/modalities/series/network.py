"""Networks that were trained on many series and forecast any other: which folders hold one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feilun.errors import InvalidData

__all__ = ["KINDS", "config_of", "keep", "network_of", "unfit"]

KINDS = {"timesfm": "TimesFmModelForPrediction", "timesfm2_5": "TimesFm2_5ModelForPrediction"}
"""The classes of transformers by model type."""
_FOLDER = "network"


def network_of(folder: Path) -> Path:
    """The folder of the network: `folder` itself where it is a base, a part of a version."""
    inner = folder / _FOLDER
    return inner if inner.is_dir() else folder


def config_of(folder: Path) -> Mapping[str, Any]:
    """The configuration of the network in `folder`. Raises `InvalidData` where there is none that
    forecasts."""
    file = network_of(folder) / "config.json"
    try:
        config: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidData("training.bad_config", folder=folder, reason=repr(error)) from None
    if config.get("model_type") not in KINDS:
        kind = str(config.get("model_type"))
        raise InvalidData("forecasts.no_network", kind=kind, options=list(KINDS))
    return config


def unfit(base: Path) -> str | None:
    """Why `base` forecasts no series, in words."""
    try:
        config_of(base)
    except InvalidData as error:
        return error.message()
    return None


def keep(base: Path, out: Path) -> None:
    """Copies the network of `base`, its configuration and its weights alone, into the version
    `out`."""
    source, target = network_of(base), out / _FOLDER
    target.mkdir()
    for file in (*source.glob("*.json"), *source.glob("*.safetensors")):
        shutil.copyfile(file, target / file.name)
