"""What one cleaning does, as settings, and the recipe that a data version keeps of them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, Literal, Self

from pydantic import Field, ValidationError

from feilun.config import Section, describe_faults
from feilun.data.personal import KINDS
from feilun.errors import InvalidData, InvalidSettings, NotFound

__all__ = ["STEPS", "Cleaning", "cleaning", "kept", "read_recipe", "to_toml"]

Kind = Literal["email", "phone", "id", "bank", "company", "plate"]

STEPS = (
    "relabel",
    "drop_rows",
    "drop_labels",
    "rename_labels",
    "merge_labels",
    "mask",
    "drop_empty",
    "drop_long",
    "drop_conflicts",
    "drop_duplicates",
)
"""The steps in the order in which one cleaning takes them."""


class Cleaning(Section):
    """One cleaning: the steps that are set, taken in the order of `STEPS`."""

    relabel: str | None = Field(None, description="reviewed file: row_id, label and perhaps keep")
    drop_rows: str | None = Field(None, description="file whose row_id column names rows to drop")
    drop_labels: tuple[str, ...] = Field((), description="labels whose rows are dropped")
    rename_labels: dict[str, str] = Field(default_factory=dict, description="old = new name")
    merge_labels: dict[str, str] = Field(
        default_factory=dict, description="label = the one it joins"
    )
    mask: tuple[Kind, ...] = Field((), description="kinds of personal data that are masked")
    reversible: bool = Field(False, description="masks are pseudonyms that a vault can undo")
    drop_empty: bool = Field(False, description="drop texts without a letter, digit or symbol")
    drop_long: int | None = Field(None, ge=1, description="drop texts of more characters than this")
    drop_conflicts: bool = Field(
        False, description="drop equal or near-equal rows whose labels differ"
    )
    drop_duplicates: Literal["exact", "near"] | None = Field(
        None, description="keep one of rows that are equal but for case, width and space, or near"
    )

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps that are set."""
        return tuple(step for step in STEPS if getattr(self, step))

    def label(self, label: str) -> str:
        """What `label` is called afterwards."""
        name = self.rename_labels.get(label, label)
        return self.merge_labels.get(name, name)

    def labels(self, labels: Sequence[str]) -> tuple[str, ...]:
        """What of `labels` there is afterwards, in the same places: a renamed label keeps its own,
        a merged one gives its up."""
        renamed = (self.rename_labels.get(x, x) for x in labels if x not in self.drop_labels)
        return tuple(label for label in renamed if self.merge_labels.get(label, label) == label)

    def check(self, labels: Sequence[str]) -> Self:
        """Raises `InvalidData` for a label that is not among `labels`, a new name that is taken,
        and a merge into a label that there is not."""
        here = set(labels)
        for label in (*self.drop_labels, *self.rename_labels):
            if label not in here:
                raise InvalidData("clean.unknown_label", label=label, options=labels)
        staying = here - set(self.rename_labels)
        for old, new in self.rename_labels.items():
            if new in staying:
                raise InvalidData("clean.name_taken", old=old, new=new)
        renamed = {self.rename_labels.get(label, label) for label in labels}
        for label in (*self.merge_labels, *self.merge_labels.values()):
            if label not in renamed:
                raise InvalidData("clean.unknown_label", label=label, options=sorted(renamed))
        for label in self.merge_labels.values():
            if label in self.merge_labels:
                raise InvalidData("clean.merge_chain", label=label)
        return self


def cleaning(**values: Any) -> Cleaning:
    """A `Cleaning` of `values`. Raises `InvalidSettings` with every fault, also when no step is
    set."""
    try:
        made = Cleaning(**values)
    except ValidationError as error:
        faults = describe_faults(error)
        if any("mask" in fault for fault in faults):
            raise InvalidData("clean.unknown_kind", options=KINDS) from None
        raise InvalidSettings("clean.bad_steps", faults=faults) from None
    if not made.steps:
        raise InvalidData("clean.nothing_to_do")
    return made


def read_recipe(file: Path) -> list[Cleaning]:
    """The cleanings of a TOML file: one as plain keys, or several as ``[[clean]]`` tables. Files
    named in it lie beside it."""
    try:
        raw = tomllib.loads(file.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise NotFound("clean.no_recipe_file", file=file) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidSettings("clean.not_toml", file=file, faults=(str(error),)) from None
    tables = raw["clean"] if set(raw) == {"clean"} else [raw]
    if not isinstance(tables, list) or not tables:
        raise InvalidSettings("clean.not_toml", file=file, faults=("[[clean]]",))
    made = []
    for table in tables:
        values = dict(table)
        for name in ("relabel", "drop_rows"):
            if isinstance(values.get(name), str):
                values[name] = str(file.parent / values[name])
        made.append(cleaning(**values))
    return made


def kept(passes: Iterable[Cleaning]) -> list[dict[str, Any]]:
    """The recipe as a data version keeps it: what is set, files by their names alone."""
    rows = []
    for one in passes:
        row = {name: value for name, value in one.model_dump().items() if value}
        for name in ("relabel", "drop_rows"):
            if name in row:
                row[name] = PurePath(row[name]).name
        rows.append({name: list(v) if isinstance(v, tuple) else v for name, v in row.items()})
    return rows


def to_toml(recipe: Iterable[Mapping[str, Any]]) -> str:
    """A kept recipe as the text that `read_recipe` reads."""
    import tomlkit

    document = tomlkit.document()
    tables = tomlkit.aot()
    for row in recipe:
        table = tomlkit.table()
        for name, value in row.items():
            if isinstance(value, Mapping):
                inline = tomlkit.inline_table()
                inline.update(value)
                table.add(name, inline)
            else:
                table.add(name, value)
        tables.append(table)
    document.add("clean", tables)
    return tomlkit.dumps(document)
