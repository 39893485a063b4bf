"""Which of the labels fits a picture."""

from __future__ import annotations

import base64

from feilun.families.classes import CLASSES
from feilun.modalities.image.task import PictureSettings, PictureTask
from feilun.types import Example

__all__ = ["Settings", "Task"]


class Settings(PictureSettings):
    """The ``[task]`` table of a project that classifies pictures. Both settings are for networks
    that begin from nothing; a base model brings its own size and channels."""


class Task(PictureTask):
    """Which of the labels fits a picture: a product's kind, a scan's digit, a part's fault.

    The input is one picture (PNG, JPEG, WebP, GIF, BMP or TIFF). The linear baseline looks at
    coarse colours and the directions of edges; above it stands any transformers image classifier,
    or a small network that begins from nothing.
    """

    summary = "tasks.image_classification"
    family = CLASSES
    Settings = Settings
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
