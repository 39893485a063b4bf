"""CVAT for images: the XML that lists images with the tags of their classes, beside the images.

Boxes, outlines and points say where something is, not what the image is: a file that holds nothing
else is refused in those words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from feilun.data.sources.base import SPLITS, Options, Table
from feilun.errors import InvalidData
from feilun.types import Row, Split

__all__ = ["FILE", "is_cvat", "open_tables"]

FILE = "annotations.xml"
"""The name that CVAT gives the file, in a folder beside ``images``."""

_CHUNK = 1 << 16
_SHAPES = frozenset(
    {"box", "polygon", "polyline", "points", "cuboid", "mask", "ellipse", "skeleton", "track"}
)


def is_cvat(head: str) -> bool:
    """Whether a text begins as an export of CVAT does."""
    return "<annotations" in head and ("<meta" in head or "<image" in head)


def open_tables(location: Path | str, options: Options, known: Collection[str] = ()) -> list[Table]:
    """One table, or one a part where the images belong to subsets called train, validation, test.
    Columns are ``image`` (the file's path) and ``label``, a list where there are several tags.

    Raises `InvalidData` for a file without images or without a tag.
    """
    path = Path(location)
    path = path / FILE if path.is_dir() else path
    images = shapes = 0
    tagged = False
    subsets: dict[str, None] = {}
    for image in _images(path):
        images += 1
        shapes += image.shapes
        tagged = tagged or bool(image.tags)
        subsets.setdefault(image.subset)
    if not images:
        raise InvalidData("formats.cvat_no_images", file=path)
    if not tagged:
        raise InvalidData("formats.cvat_no_tags", file=path, images=images, shapes=shapes)
    splits = {subset: SPLITS.get(subset.casefold()) for subset in subsets}
    if not all(splits.values()):
        return [_table(path, path.name, None, None)]
    return [_table(path, f"{path.name}:{subset}", subset, splits[subset]) for subset in subsets]


@dataclass(slots=True)
class _Image:
    name: str
    subset: str
    tags: list[str] = field(default_factory=list)
    shapes: int = 0


def _table(path: Path, name: str, subset: str | None, split: Split | None) -> Table:
    return Table(
        name,
        ("image", "label"),
        _rows(path, subset),
        folder=path.parent,
        split=split,
        details={"format": "CVAT"},
    )


def _rows(path: Path, subset: str | None) -> Iterator[Row]:
    for number, image in enumerate(_images(path), 1):
        if subset is None or image.subset == subset:
            tags: Any = image.tags[0] if len(image.tags) == 1 else image.tags or None
            yield Row(number, {"image": _where(path.parent, image), "label": tags})


def _where(folder: Path, image: _Image) -> str:
    """Where the image lies: CVAT puts it into ``images``, under its subset where it has one."""
    places = [f"images/{image.subset}", "images", image.subset or ".", "."]
    for place in places:
        if (folder / place / image.name).is_file():
            return f"{place}/{image.name}"
    return image.name


def _images(path: Path) -> Iterator[_Image]:
    """The images with their tags, as the file is read. It has no need of a document type, by whose
    entities a small file could grow without end: one that brings it is refused."""
    done: list[_Image] = []
    current: list[_Image] = []

    def begin(name: str, attributes: dict[str, str]) -> None:
        if name == "image":
            current[:] = [_Image(attributes.get("name", ""), attributes.get("subset", ""))]
        elif current and name == "tag":
            current[0].tags.append(attributes.get("label", ""))
        elif current and name in _SHAPES:
            current[0].shapes += 1

    def end(name: str) -> None:
        if name == "image" and current:
            done.append(current.pop())

    def refuse(*_: Any) -> None:
        raise InvalidData("formats.xml_doctype", file=path)

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                parser.Parse(chunk, False)
                yield from done
                done.clear()
            parser.Parse(b"", True)
    except (expat.ExpatError, OSError, ValueError) as error:
        raise InvalidData("data.damaged", file=path, format="CVAT XML", reason=str(error)) from None
