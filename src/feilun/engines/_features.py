"""Features as they lie beside the weights that were fitted to them: ``features.json``, only where
a task's features are fitted at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from feilun.errors import CorruptArtifact
from feilun.tasks import base as tasks
from feilun.tasks.base import Features, Fitted
from feilun.types import Schema

__all__ = ["FEATURES", "read_features", "write_features"]

FEATURES = "features.json"


def write_features(folder: Path, features: Features) -> None:
    """Keeps what `features` were fitted to; nothing where there is nothing."""
    if hasattr(features, "fit"):
        state = cast(Fitted, features).state
        text = json.dumps(state, ensure_ascii=False, indent=1, sort_keys=True)
        (folder / FEATURES).write_text(text + "\n", "utf-8")


def read_features(folder: Path, schema: Schema) -> Features:
    """The features of the version in `folder`. Raises `CorruptArtifact` when they are gone."""
    task = tasks.of(schema)
    features = task.features(schema.settings)
    if not hasattr(features, "fit"):
        return features
    file = folder / FEATURES
    try:
        return task.features(schema.settings, json.loads(file.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise CorruptArtifact("engines.bad_weights", file=file, reason=repr(error)) from None
