"""Pictures: the input side of a task whose input is one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from pydantic import Field

from feilun.modalities import pieces, recognise
from feilun.modalities.base import Column, Features, Processor, TaskBase, TaskSettings
from feilun.modalities.image import arrays, decoding, networks, noise
from feilun.modalities.noise import Disturbance
from feilun.modalities.pieces import Pieces
from feilun.types import ColumnSample, Item, Roles, Schema

if TYPE_CHECKING:
    import torch

__all__ = ["PictureSettings", "PictureTask"]


class PictureSettings(TaskSettings):
    """What the ``[task]`` tables of tasks on pictures have in common. Both settings are for
    networks that begin from nothing; a base model brings its own size and channels."""

    image_size: int = Field(
        32, ge=8, le=512, description="side in pixels that a network from nothing sees"
    )
    color: bool = Field(
        True, description="whether a network from nothing sees colour; grey is a little faster"
    )


class PictureTask(TaskBase):
    """A task on one picture (PNG, JPEG, WebP, GIF, BMP or TIFF). A task that extends it names its
    family, examples and summary."""

    Settings: ClassVar[type[TaskSettings]] = PictureSettings
    columns = (Column("image", "image", recognise.IMAGE),)
    label_aliases = recognise.LABEL
    encodes = True
    scratches = networks.SCRATCH

    def _own(self, settings: Mapping[str, Any]) -> PictureSettings:
        return cast(PictureSettings, self.Settings(**settings))

    def recognise(self, columns: Sequence[ColumnSample]) -> Roles:
        """By usual names, else the column of pictures or of their files' names is the input."""
        return recognise.roles(columns, self.columns[0], self.label_aliases)

    def check(self, item: Item) -> Item:
        """The bytes of a sound picture; see `decoding.check`."""
        return decoding.check(item, self.columns[0].name)

    def accept(self, item: Item) -> Item:
        """Bytes, whatever is in them: to decode them twice would halve the pictures a second."""
        return decoding.accept(item, self.columns[0].name)

    def input_schema(self) -> dict[str, Any]:
        """Tagged base64, or an object with the one column."""
        return decoding.input_schema(self.columns[0].name)

    def processor(self, folder: Path | str | None, settings: Mapping[str, Any]) -> Processor:
        """The one of `folder`'s ``preprocessor_config.json``; of a name, a plain square."""
        if isinstance(folder, Path):
            return arrays.ImageProcessor.read(folder)
        own = self._own(settings)
        return arrays.ImageProcessor.scratch(own.image_size, own.color)

    def pieces(self, item: Item) -> Pieces | None:
        """Squares."""
        return pieces.of_picture(item) if isinstance(item, bytes) else None

    def features(
        self, settings: Mapping[str, Any], state: Mapping[str, Any] | None = None
    ) -> Features:
        """Coarse colours and edge directions."""
        return arrays.PixelFeatures()

    def disturbances(self) -> Mapping[str, Disturbance]:
        """Blur, compression, light, rotation, crops; ``flip`` on request."""
        return noise.disturbances()

    def load(self, base: Path | str | None, schema: Schema) -> torch.nn.Module:
        """An image classifier of transformers; without a base, the default one or a small network
        that begins from nothing."""
        own = self._own(schema.settings)
        begun = base or self.default_base or "scratch:resnet"
        outputs = self.family.outputs(schema.labels)
        return networks.classifier(
            begun, outputs, own.image_size, own.color, self.family.problem_type
        )

    def encoder(self, base: Path) -> torch.nn.Module:
        """The mean of the last layer over the picture."""
        return networks.encoder(base)
