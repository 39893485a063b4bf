"""A dataset repository, cloned: its data files, which part each belongs to, names of classes.

The head of ``README.md`` says it (``configs``, ``dataset_info``); where it is silent, the names of
the files and folders do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from feilun.data.litter import is_litter
from feilun.errors import InvalidData

__all__ = ["SUFFIXES", "card", "class_names", "is_repository", "parts"]

SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".json")
"""Files that hold rows."""

_PARTS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_HEAD = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_DEPTH = 3


def is_repository(folder: Path) -> bool:
    """Whether `folder` is one: with rows in Parquet, or data files and a ``README.md`` with a
    head."""
    for file in _files(folder):
        if file.suffix == ".parquet":
            return True
        if _HEAD.match(_readme(folder)):
            return True
    return False


def _readme(folder: Path) -> str:
    try:
        with (folder / "README.md").open(encoding="utf-8", errors="replace") as stream:
            return stream.read(1 << 20)
    except OSError:
        return ""


def card(folder: Path) -> dict[str, Any]:
    """The head of the folder's ``README.md``; empty without one."""
    found = _HEAD.match(_readme(folder))
    if not found:
        return {}
    import yaml

    try:
        content = yaml.safe_load(found.group(1))
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())[:200]
        raise InvalidData("formats.bad_card", file=folder / "README.md", reason=reason) from None
    return content if isinstance(content, dict) else {}


def parts(folder: Path, content: Mapping[str, Any]) -> list[tuple[str | None, list[Path]]]:
    """The parts with their files; None where nothing says which part it is."""
    configs = [one for one in content.get("configs") or () if isinstance(one, dict)]
    if not configs:
        return _by_name(folder)
    chosen = [one for one in configs if one.get("default")] or [
        one for one in configs if one.get("config_name", "default") == "default"
    ]
    chosen = chosen or (configs if len(configs) == 1 else [])
    if not chosen:
        names = [str(one.get("config_name")) for one in configs]
        raise InvalidData("formats.which_config", folder=folder, options=names)
    wanted = list(_patterns(chosen[0].get("data_files"), chosen[0].get("data_dir")))
    if not wanted:
        return _by_name(folder)
    found = [(part, _matching(folder, pattern)) for part, pattern in wanted]
    if not any(files for _, files in found):
        patterns = [pattern for _, pattern in wanted]
        raise InvalidData("formats.no_data_files", folder=folder, patterns=patterns)
    merged: dict[str | None, list[Path]] = {}
    for part, files in found:
        merged.setdefault(part, []).extend(files)
    return [(part, files) for part, files in merged.items() if files]


def _patterns(given: Any, folder: Any) -> Iterator[tuple[str | None, str]]:
    """``data_files`` in any of its forms: a path, a list of them, or parts with their paths."""
    if given is None and folder:
        given = f"{folder}/*"
    entries = given if isinstance(given, list) else [] if given is None else [given]
    for entry in entries:
        split, path = (
            (entry.get("split"), entry.get("path")) if isinstance(entry, dict) else (None, entry)
        )
        for pattern in path if isinstance(path, list) else [path]:
            if isinstance(pattern, str):
                yield (str(split) if split else None), pattern


def _matching(folder: Path, pattern: str) -> list[Path]:
    """Files below `folder`, never beside or above it."""
    if pattern.startswith("/") or ".." in Path(pattern).parts:
        return []
    return sorted(
        file
        for file in folder.glob(pattern)
        if file.is_file() and file.suffix in SUFFIXES and _inside(folder, file)
    )


def _inside(folder: Path, file: Path) -> bool:
    """Whether a file is in `folder` itself, not a link out of it; the cache of Hugging Face may
    link to the blobs beside its snapshots."""
    root, target = folder.resolve(), file.resolve()
    blobs = root.parent.parent / "blobs"
    return target.is_relative_to(root) or target.is_relative_to(blobs)


def _files(folder: Path) -> Iterator[Path]:
    """Files of rows in `folder`, a few folders deep; hidden ones and links out of it are not."""
    return (file for file in _below(folder, _DEPTH) if _inside(folder, file))


def _below(folder: Path, depth: int) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if is_litter(path):
            continue
        if path.is_dir():
            if depth > 1:
                yield from _below(path, depth - 1)
        elif path.suffix in SUFFIXES and path.name != "dataset_infos.json":
            yield path


def _by_name(folder: Path) -> list[tuple[str | None, list[Path]]]:
    files = list(_files(folder))
    # A repository of several formats is one of Parquet with something beside it.
    suffix = next((s for s in SUFFIXES if any(file.suffix == s for file in files)), "")
    found: dict[str | None, list[Path]] = {}
    for file in files:
        if file.suffix == suffix:
            found.setdefault(_part_of(file.relative_to(folder)), []).append(file)
    named = {part: some for part, some in found.items() if part is not None}
    return list((named or found).items())


def _part_of(path: Path) -> str | None:
    words = re.split(r"[^a-z]+", path.with_suffix("").as_posix().casefold())
    for part, names in _PARTS.items():
        if any(name in words for name in names):
            return part
    return None


def class_names(content: Mapping[str, Any]) -> dict[str, dict[int, str]]:
    """Column → its classes' numbers and names, out of ``dataset_info``."""
    info = content.get("dataset_info")
    if isinstance(info, list):
        info = info[0] if len(info) == 1 else None
    features = info.get("features") if isinstance(info, dict) else None
    found: dict[str, dict[int, str]] = {}
    for feature in features if isinstance(features, list) else ():
        if not isinstance(feature, dict):
            continue
        # A list of classes is written as ``sequence``, since datasets 4 as ``list``.
        kinds = (feature.get(name) for name in ("dtype", "sequence", "list"))
        kind = next((one for one in kinds if isinstance(one, dict)), {})
        label = kind.get("class_label")
        names = label.get("names") if isinstance(label, dict) else None
        if isinstance(names, dict):
            found[str(feature["name"])] = {int(k): str(v) for k, v in names.items()}
        elif isinstance(names, list):
            found[str(feature["name"])] = {k: str(v) for k, v in enumerate(names)}
    return found
