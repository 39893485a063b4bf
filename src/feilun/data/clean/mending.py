"""Carries cleanings out while a data version is built.

Rows of the version before went through its recipe already: only the cleaning that is asked for now
is done to them. Rows that come in go through all of the recipe, so that a mended fault does not
come back. Rows that were dropped by name or for conflicting labels are remembered by the keys of
their contents (16 bytes each in the version's folder), and do not come in again.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from feilun.data._contents import GONE, Contents, spread
from feilun.data._gather import Gathered
from feilun.data.clean import same
from feilun.data.clean.mask import Masker
from feilun.data.clean.named import NOTHING, Named
from feilun.data.clean.recipe import Cleaning, kept
from feilun.data.clean.steps import RowState, RowSteps
from feilun.data.clean.tally import StepReport, Tally
from feilun.data.content import content_key, row_key, stored_key, with_target
from feilun.data.splits import SPLITS
from feilun.errors import EnvironmentProblem, InvalidData
from feilun.store.dataset import INPUT, Dataset, writing
from feilun.store.vault import Vault
from feilun.tasks.base import TaskBase
from feilun.types import Example, Item

__all__ = ["DROPPED", "Mending", "remembered"]

DROPPED = "dropped.keys"
"""File in a data version: the keys of contents that must not come in again, 16 bytes each."""
_KEY = 16
_FEEDBACK = "fb_"


class Mending:
    """What is done to the rows of one build. `cleanings` are new, `named` the rows that they name;
    with `forget` the recipe of the version before ends here. `vault` is where reversible masks are
    kept; a `passing` build keeps none."""

    def __init__(
        self,
        cleanings: Sequence[Cleaning] = (),
        *,
        named: Named = NOTHING,
        forget: bool = False,
        vault: Path | None = None,
        passing: bool = False,
    ) -> None:
        self.recipe: list[dict[str, Any]] = []
        self.active = bool(cleanings) or forget
        self._new = list(cleanings)
        self.named = named
        self._forget = forget
        self._vault_file = vault
        self._vault: Vault | None = None
        self._passing = passing
        self._tally = Tally()
        self._now: list[RowSteps] = []
        self._always: list[RowSteps] = []
        self._passes: list[Cleaning] = []
        self._dropped: set[bytes] = set()
        self._masked = array("q")
        self._kinds: list[tuple[str, str]] = []
        self._texts: list[int] = []
        self._ids = named.ids
        self._seen: set[str] = set()

    def begin(self, task: TaskBase, previous: Dataset | None) -> None:
        """Reads the recipe of `previous` and makes everything ready. Raises `InvalidData` for
        labels that are not there and for steps that need texts where there are none,
        `EnvironmentProblem` when the vault of reversible masks is gone."""
        self._task, self._family = task, task.family
        self._kinds = [(column.name, column.kind) for column in task.columns]
        self._texts = [i for i, (_, kind) in enumerate(self._kinds) if kind == "text"]
        earlier = [] if previous is None or self._forget else previous.info.get("recipe", [])
        key = next((row["vault"] for row in earlier if "vault" in row), None)
        before = [Cleaning(**{k: v for k, v in row.items() if k != "vault"}) for row in earlier]
        labels: tuple[str, ...] = previous.schema.labels if previous else ()
        for one in self._new:
            self._check(one.check(labels), task)
            labels = one.labels(labels)
        self._passes = [*before, *self._new]
        for place, one in enumerate(self._passes):
            masker = self._masker(one, key)
            self._always.append(RowSteps(one, masker, self._tally, task.family))
            if place >= len(before):
                self._now.append(RowSteps(one, masker, self._tally, task.family, self.named))
        self.recipe = [dict(row) for row in earlier] + kept(self._new)
        if self._vault is not None:
            for row in self.recipe:
                if row.get("reversible"):
                    row["vault"] = self._vault.key_id
        if previous is not None and not self._forget:
            self._dropped = _read_keys(previous.folder / DROPPED)

    def _check(self, one: Cleaning, task: TaskBase) -> None:
        if task.family.points:  # a text that changes would move its spans
            wrong = {"mask", "drop_labels", "rename_labels", "merge_labels"} & set(one.steps)
            if wrong:
                raise InvalidData("clean.moves_targets", task=task.name, steps=sorted(wrong))
        needs = {"mask", "drop_empty", "drop_long"} & set(one.steps) if not self._texts else set()
        if len(self._texts) < len(self._kinds):
            needs |= {"drop_conflicts"} & set(one.steps)
            needs |= {"drop_duplicates"} if one.drop_duplicates == "near" else set()
        if needs:
            raise InvalidData("clean.needs_texts", steps=sorted(needs))

    def _masker(self, one: Cleaning, key: str | None) -> Masker | None:
        if not one.mask:
            return None
        if not one.reversible:
            return Masker(one.mask)
        if self._vault is None:
            if self._vault_file is None:
                raise EnvironmentProblem("vault.gone", file="vault")
            self._vault = Vault(self._vault_file, key=key, passing=self._passing)
        return Masker(one.mask, self._vault.letters)

    # Rows of the version before

    def known(self, labels: Sequence[str]) -> tuple[str, ...]:
        """The labels of the version before as they are called now, in their order."""
        for one in self._new:
            labels = one.labels(labels)
        return tuple(labels)

    def row(
        self, place: int, row_id: str, key: bytes, label: str, cells: list[Any], split: int
    ) -> tuple[str, bytes, str] | None:
        """The row at `place` of the version before as it is now: label, key and id; None when it
        is dropped. `cells` are changed in place."""
        state = self._state(row_id, label, cells, split == SPLITS.index("test"))
        if row_id in self._ids:
            self._seen.add(row_id)
        for steps in self._now:
            if not steps(state):
                if row_id in self.named.dropped:
                    self._dropped.add(with_target(self._task, key, label))
                return None
        if not state.masked:
            return state.label or "", key, row_id
        self._masked.append(place)
        for at, text in zip(self._texts, state.texts, strict=True):
            cells[at] = text
        new = row_key(self._family, stored_key(self._kinds, cells), label)
        return state.label or "", new, _renamed(row_id, key, new)

    def rewrite(self, batch: Any, begin: int) -> Any:
        """A record batch of the version before, whose first row is at `begin`, with its texts and
        ids as they are now."""
        import pyarrow as pa

        from feilun.store.arrow import strings

        masked = np.frombuffer(self._masked, np.int64)
        first, last = np.searchsorted(masked, [begin, begin + batch.num_rows])
        if first == last:
            return batch
        maskers = [steps.masker for steps in self._now if steps.masker is not None]
        ids = batch.column("row_id").to_pylist()
        columns = [batch.column(INPUT + name).to_pylist() for name, _ in self._kinds]
        labels = batch.column("label").to_pylist()
        for number in (masked[first:last] - begin).tolist():
            key = self._key(columns, number, labels)
            for at in self._texts:
                for masker in maskers:
                    columns[at][number] = masker(columns[at][number])[0]
            new = self._key(columns, number, labels)
            ids[number] = _renamed(ids[number], key, new)
        changed = {"row_id": strings(ids)}
        for at in self._texts:
            changed[INPUT + self._kinds[at][0]] = strings(columns[at])
        arrays = [changed.get(name, batch.column(name)) for name in batch.schema.names]
        return pa.record_batch(arrays, schema=batch.schema)

    def _key(
        self, columns: Sequence[Sequence[Any]], number: int, labels: Sequence[str | None]
    ) -> bytes:
        content = stored_key(self._kinds, [column[number] for column in columns])
        return row_key(self._family, content, labels[number])

    # Rows that come in

    def fresh(
        self, example: Example, key: bytes, waited: bool = False
    ) -> tuple[Example, bytes] | None:
        """A row that comes in as the recipe leaves it, with its key; None when it is dropped. One
        that `waited` went through the recipe before."""
        passes = self._now if waited else self._always
        if not passes and not self._dropped:
            return example, key
        item = example.item
        cells = [item[name] if isinstance(item, Mapping) else item for name, _ in self._kinds]
        state = self._state(example.row_id, example.label, cells, example.split == "test")
        if self._is_dropped(key, example.label, state):
            return None
        if not all(steps(state) for steps in passes):
            return None
        if state.masked:
            for place, text in zip(self._texts, state.texts, strict=True):
                cells[place] = text
            names = [name for name, _ in self._kinds]
            item = dict(zip(names, cells, strict=True)) if isinstance(item, Mapping) else cells[0]
            key = row_key(self._family, content_key(item), state.label)
            made = example.row_id.startswith(_FEEDBACK)
            example = replace(example, item=item, row_id="" if made else example.row_id)
            if self._is_dropped(key, state.label, state):
                return None
        if state.label != example.label:
            example = replace(example, label=state.label)
        return example, key

    def _is_dropped(self, key: bytes, label: str | None, state: RowState) -> bool:
        found = bool(self._dropped) and with_target(self._task, key, label) in self._dropped
        if found:
            self._tally.note("drop_rows", False, f"{state.label} ← {state.shown()}")
        return found

    def _state(self, row_id: str, label: str | None, cells: Iterable[Item], test: bool) -> RowState:
        listed = list(cells)
        return RowState(row_id, label, [str(listed[place]) for place in self._texts], test)

    # Rows together

    @property
    def near(self) -> bool:
        """Whether a step needs to know which rows are near-duplicates."""
        return any(p.drop_duplicates == "near" or p.drop_conflicts for p in self._passes)

    def together(self, gathered: Gathered, contents: Contents, near: np.ndarray | None) -> None:
        """Marks contents as gone that repeat others or conflict with them. `near` tells of every
        content which one leads its near-duplicates."""
        exact: np.ndarray | None = None
        for everything in (False, True):
            passes = self._new if everything else self._passes
            if not everything and contents.old.all():
                continue
            if any(p.drop_conflicts for p in passes):
                assert near is not None
                drop = same.conflicting(near, contents, everything)
                self._remember(gathered, contents, drop)
                self._drop("drop_conflicts", drop, gathered, contents)
            kinds = {p.drop_duplicates for p in passes}
            if "near" in kinds:
                assert near is not None
                drop = same.repeated(near, contents, everything)
                self._drop("drop_duplicates", drop, gathered, contents)
            elif "exact" in kinds:
                if exact is None:
                    exact = same.folded(gathered, dict(self._kinds))[contents.first]
                    if self._task.observations:  # they repeat each other with their targets alone
                        exact ^= spread(contents.label)
                drop = same.repeated(exact, contents, everything)
                self._drop("drop_duplicates", drop, gathered, contents)

    def _drop(self, step: str, drop: np.ndarray, gathered: Gathered, contents: Contents) -> None:
        places = np.flatnonzero(drop)
        shown = [int(row) for row in contents.first[places][:3]] if self._tally.wants(step) else []
        texts = same.examples(gathered, dict(self._kinds), shown)
        for place in places.tolist():
            code, row = int(contents.label[place]), int(contents.first[place])
            label = gathered.labels[code] if code >= 0 else "?"
            self._tally.note(step, False, f"{label} ← {texts.get(row, '')}", by={label: 1})
        contents.label[drop] = GONE

    def _remember(self, gathered: Gathered, contents: Contents, drop: np.ndarray) -> None:
        for row in contents.first[drop].tolist():
            self._dropped.add(bytes(gathered.rows.keys[row * _KEY : (row + 1) * _KEY]))

    # Afterwards

    def finish(self, out: Path) -> None:
        """Writes what must be remembered beside the version; what the vault was told is kept."""
        if self._dropped:
            with writing(out):
                (out / DROPPED).write_bytes(b"".join(sorted(self._dropped)))
        if self._vault is not None:
            self._vault.commit()

    def close(self) -> None:
        """Lets go of the vault."""
        if self._vault is not None:
            self._vault.close()
            self._vault = None

    def reports(self) -> tuple[StepReport, ...]:
        """What each step changed."""
        return self._tally.reports()

    @property
    def missing(self) -> tuple[str, ...]:
        """Row ids that files named and that the version before does not have, sorted."""
        return tuple(sorted(self._ids - self._seen))


def _renamed(row_id: str, before: bytes, after: bytes) -> str:
    """The id of a row whose content was masked. One that was made of the content would tell what
    the mask hides, so it is made anew; the user's own stay."""
    made = row_id == before.hex()[:20] or row_id.startswith(_FEEDBACK)
    return after.hex()[:20] if made else row_id


def remembered(folder: Path) -> int:
    """How many contents must not come into the data version in `folder` again."""
    return len(_read_keys(folder / DROPPED))


def _read_keys(file: Path) -> set[bytes]:
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        return set()
    return {raw[place : place + _KEY] for place in range(0, len(raw), _KEY)}
