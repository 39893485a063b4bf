"""Which of the labels fits a picture."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from feilun.families.classes import CLASSES
from feilun.tasks import _image_models, _images, _noise_image, _pictures, _pieces, _recognise
from feilun.tasks._noise import Disturbance
from feilun.tasks._pieces import Pieces
from feilun.tasks.base import Column, Features, Processor, TaskBase, TaskSettings
from feilun.types import ColumnSample, Example, Item, Roles, Schema

if TYPE_CHECKING:
    import torch

__all__ = ["Settings", "Task"]


class Settings(TaskSettings):
    """The ``[task]`` table of a project that classifies pictures. Both settings are for networks
    that begin from nothing; a base model brings its own size and channels."""

    image_size: int = Field(
        32, ge=8, le=512, description="side in pixels that a network from nothing sees"
    )
    color: bool = Field(
        True, description="whether a network from nothing sees colour; grey is a little faster"
    )


class Task(TaskBase):
    """Which of the labels fits a picture: a product's kind, a scan's digit, a part's fault.

    The input is one picture (PNG, JPEG, WebP, GIF, BMP or TIFF). Rung zero looks at coarse colours
    and the directions of edges; above it stands any transformers image classifier, or a small
    network that begins from nothing.
    """

    summary = "tasks.image_classification"
    family = CLASSES
    Settings = Settings
    columns = (Column("image", "image", _recognise.IMAGE),)
    label_aliases = _recognise.LABEL
    examples = (
        Example(
            "1",
            base64.b64decode(
                "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQAQAAAAA3iMLMAAAAJklEQVR42mNggAHmA0wsCkwcAkwCHEwMDFD04QfTjw9Mfx7AVQEAdUIG1racT0IAAAAASUVORK5CYII="
            ),
            "circle",
        ),
        Example(
            "2",
            base64.b64decode(
                "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQAQAAAAA3iMLMAAAAFElEQVR42mNggAH5H0wMDLgQHAAAKlIBKu/ckJUAAAAASUVORK5CYII="
            ),
            "square",
        ),
        Example(
            "3",
            base64.b64decode(
                "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQAQAAAAA3iMLMAAAAH0lEQVR42mNgQAX8DIzyiUwKDkwMDBDEzCDIwI+QBwAcMAEcaAtFvAAAAABJRU5ErkJggg=="
            ),
            "circle",
        ),
    )
    default_base = "scratch:resnet"

    def recognise(self, columns: Sequence[ColumnSample]) -> Roles:
        """By usual names, else the column of pictures or of their files' names is the input."""
        return _recognise.roles(columns, self.columns[0], self.label_aliases)

    def check(self, item: Item) -> Item:
        """The bytes of a sound picture; see `_pictures.check`."""
        return _pictures.check(item, self.columns[0].name)

    def accept(self, item: Item) -> Item:
        """Bytes, whatever is in them: to decode them twice would halve the pictures a second."""
        return _pictures.accept(item, self.columns[0].name)

    def input_schema(self) -> dict[str, Any]:
        """Tagged base64, or an object with the one column."""
        return _pictures.input_schema(self.columns[0].name)

    def processor(self, folder: Path | str | None, settings: Mapping[str, Any]) -> Processor:
        """The one of `folder`'s ``preprocessor_config.json``; of a name, a plain square."""
        if isinstance(folder, Path):
            return _images.ImageProcessor.read(folder)
        own = Settings(**settings)
        return _images.ImageProcessor.scratch(own.image_size, own.color)

    def pieces(self, item: Item) -> Pieces | None:
        """Squares."""
        return _pieces.of_picture(item) if isinstance(item, bytes) else None

    def features(
        self, settings: Mapping[str, Any], state: Mapping[str, Any] | None = None
    ) -> Features:
        """Coarse colours and edge directions."""
        return _images.PixelFeatures()

    def disturbances(self) -> Mapping[str, Disturbance]:
        """Blur, compression, light, rotation, crops; ``flip`` on request."""
        return _noise_image.disturbances()

    def load(self, base: Path | str | None, schema: Schema) -> torch.nn.Module:
        """An image classifier of transformers; without a base, the default one."""
        own = Settings(**schema.settings)
        return _image_models.classifier(
            base or self.default_base, schema.labels, own.image_size, own.color
        )

    def encoder(self, base: Path) -> torch.nn.Module:
        """The mean of the last layer over the picture."""
        return _image_models.encoder(base)
