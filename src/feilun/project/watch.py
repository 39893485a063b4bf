"""A folder watched for new files: each that is complete becomes part of the data, once.

A file is complete when it has rested: the same size and time at two looks, or untouched for a
minute, as files are that were moved in. What was taken stands in the catalog by its content, in
the transaction that added the version. A file that cannot be used is moved to ``refused`` beside
the others, with the reason, and the watch goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from feilun.data.litter import is_litter
from feilun.data.sources.base import AS_FOUND, ReadOptions
from feilun.errors import AlreadyRunning, InvalidData, NotFound
from feilun.messages import t
from feilun.project import adding
from feilun.project.scope import Scope
from feilun.store.files import hash_file, write_atomically
from feilun.table import Result, Table

__all__ = ["REFUSED", "Watched", "Watcher", "unknown_files", "watch"]

REFUSED = "refused"
"""The sub-folder for files that cannot be used."""

_SETTLE = 5.0
_OLD = 60.0
_TOO_FEW = {
    "data.too_few_rows",
    "data.too_few_decided",
    "data.one_class",
    "data.no_training_rows",
    "data.all_duplicates",
}
"""What is wrong with the first files of a project when there are simply not enough yet."""

Say = Callable[[str], None]
State = tuple[int, int, int]


@dataclass
class Watched(Result):
    """What a watch did: files `taken` with the version that they came into, files `refused` with
    the reason, and those that `wait`, being written or too few to begin with."""

    folder: Path
    taken: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)

    def tables(self) -> Sequence[Table]:
        rows = [[one["file"], one["version"], f"{one['new']:,}"] for one in self.taken]
        notes = [t("watch.refused", file=one["file"], reason=one["reason"]) for one in self.refused]
        notes += [t("watch.waits", file=name) for name in self.waiting]
        columns = [t("watch.file"), t("project.data_version"), t("project.new_rows")]
        title = t("watch.ended", taken=len(self.taken), refused=len(self.refused))
        return (Table(title, columns if rows else (), rows, notes),)


def watch(
    scope: Scope,
    folder: Path,
    *,
    every: float,
    once: bool,
    columns: Mapping[str, str] | None = None,
    split: str = "auto",
    say: Say = print,
    settle: float = _SETTLE,
    read: ReadOptions = AS_FOUND,
) -> Watched:
    """Takes what is in `folder` and, unless `once`, what comes into it until interrupted. Files
    that are still written are looked at again `settle` seconds later."""
    watcher = Watcher(
        scope, folder, columns=columns, split=split, say=say, settle=settle, read=read
    )
    if once:
        if watcher.look():
            time.sleep(settle)
            watcher.look()
        return watcher.done
    say(t("watch.begins", folder=folder, seconds=f"{every:g}"))
    try:
        while True:
            moving = watcher.look()
            time.sleep(min(every, settle) if moving else every)
    except KeyboardInterrupt:
        say(t("watch.ended", taken=len(watcher.done.taken), refused=len(watcher.done.refused)))
        raise


def unknown_files(scope: Scope, folder: Path) -> bool:
    """Whether there is anything in `folder` that was not taken as it is now. Reads no file."""
    catalog = scope.store.catalog
    return any(
        catalog.setting(_name_key(scope, file)) != _kept(state) for file, state in _files(folder)
    )


class Watcher:
    """Looks at `folder` again and again; `done` is what came of it."""

    def __init__(
        self,
        scope: Scope,
        folder: Path,
        *,
        columns: Mapping[str, str] | None = None,
        split: str = "auto",
        say: Say = print,
        settle: float = _SETTLE,
        read: ReadOptions = AS_FOUND,
    ) -> None:
        if not folder.is_dir():
            raise NotFound("watch.no_folder", folder=folder)
        self.done = Watched(folder)
        self._scope, self._folder = scope, folder
        self._columns, self._split = columns, split
        self._say, self._settle, self._read = say, settle, read
        self._catalog = scope.store.catalog
        self._seen: dict[Path, tuple[State, float]] = {}
        self._known: dict[Path, State] = {}
        self._few: set[str] = set()
        self._said: set[str] = set()
        self._litter = 0

    def look(self) -> bool:
        """Takes the files that are complete; returns whether some are not, so that a second look
        soon is worth it."""
        found = _files(self._folder)
        self._tell_litter()
        new = [(file, state) for file, state in found if not self._is_known(file, state)]
        ready = [file for file, state in new if self._rests(file, state)]
        moving = len(ready) < len(new)
        hashed = {file: digest for file in ready if (digest := self._hash(file)) is not None}
        if hashed and set(hashed.values()) != self._few:
            taken = len(self.done.taken)
            try:
                few = {hashed[file] for file in self._take(hashed)}
                # Too few to begin with: once others have begun they are tried again.
                self._few = few if len(self.done.taken) == taken else set()
            except AlreadyRunning as error:
                self._say_once(error.message())
        self.done.waiting = sorted(
            file.name for file, state in new if file.exists() and not self._is_known(file, state)
        )
        return moving

    def _tell_litter(self) -> None:
        """Says once how many files are passed by."""
        if not self._litter:
            self._litter = sum(is_litter(p) and p.is_file() for p in self._folder.iterdir())
            if self._litter:
                self._say(t("watch.litter", folder=self._folder.name, files=self._litter))

    def _is_known(self, file: Path, state: State) -> bool:
        if self._known.get(file) == state:
            return True
        known = bool(self._catalog.setting(_name_key(self._scope, file)) == _kept(state))
        if known:
            self._known[file] = state
        return known

    def _rests(self, file: Path, state: State) -> bool:
        now = time.monotonic()
        before, since = self._seen.get(file, (None, now))
        if before != state:
            self._seen[file] = (state, now)
            since = now
        old = time.time() - state[1] / 1e9 >= _OLD
        # A file without anything in it is most often one that somebody has just opened.
        return old or (now - since >= self._settle and state[0] > 0)

    def _hash(self, file: Path) -> str | None:
        """The digest of a file, None when it is being changed or gone, or was taken before under
        another name."""
        with suppress(FileNotFoundError):
            before = _state(file)
            digest = hash_file(file)
            if _state(file) != before:
                self._seen.pop(file, None)
                return None
            if self._catalog.setting(_content_key(self._scope, digest)) is None:
                return digest
            self._catalog.set_setting(_name_key(self._scope, file), _kept(before))
        return None

    def _take(self, files: Mapping[Path, str]) -> list[Path]:
        """Adds the files, together if they can be, and returns those that wait for more."""
        try:
            self._add(files)
        except InvalidData as error:
            if len(files) == 1:
                return self._alone(next(iter(files)), error)
        else:
            return []
        few: list[Path] = []
        for file, digest in files.items():
            few += self._take({file: digest})
        if 1 < len(few) < len(files):
            return self._take({file: files[file] for file in few})
        return few

    def _alone(self, file: Path, error: InvalidData) -> list[Path]:
        if not file.exists():
            return []
        if error.code in _TOO_FEW and self._catalog.latest_data(self._scope.name) is None:
            self._say_once(t("watch.too_few", file=file.name, reason=error.message()))
            return [file]
        self._refuse(file, error)
        return []

    def _add(self, files: Mapping[Path, str]) -> None:
        states = {file: _state(file) for file in files if file.exists()}
        keep: dict[str, Any] = {
            _name_key(self._scope, file): _kept(state) for file, state in states.items()
        }
        for file in states:
            keep[_content_key(self._scope, files[file])] = {"file": file.name}
        added = adding.add(
            self._scope,
            list(files),
            columns=self._columns,
            split=self._split,
            query=None,
            since=None,
            mark=None,
            restart=False,
            report=None,
            drop_last=0,
            exclude=None,
            keep=keep,
            read=self._read,
        )
        self._known |= states
        new = added.report["new"]
        for file in files:
            self.done.taken.append({"file": file.name, "version": added.version, "new": new})
        names = [file.name for file in files]
        self._say(t("watch.taken", files=names, rows=new, version=added.version))
        if added.report["bad_rows"]:
            self._say(t("project.bad_rows_at", file=added.report["bad_rows"]))

    def _refuse(self, file: Path, error: InvalidData) -> None:
        """Moves the file aside, its reason beside it. Where that is not allowed the file stays,
        and is not tried again before it changes or the watch begins anew."""
        reason = error.message()
        self.done.refused.append({"file": file.name, "reason": reason})
        self._say(t("watch.refused", file=file.name, reason=reason))
        aside = self._folder / REFUSED
        try:
            aside.mkdir(exist_ok=True)
            target = _free(aside / file.name)
            words = f"{reason}\n{error.hint()}".strip() + "\n"
            write_atomically(target.with_name(target.name + ".reason.txt"), words.encode())
            file.rename(target)
        except OSError:
            with suppress(FileNotFoundError):
                self._known[file] = _state(file)

    def _say_once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self._say(line)


def _files(folder: Path) -> list[tuple[Path, State]]:
    """The files in `folder` itself, by name, each with its state; what systems and programs leave
    there, and what is unfinished, is none."""
    found = []
    for file in sorted(folder.iterdir()):
        if is_litter(file):
            continue
        with suppress(FileNotFoundError):
            if file.is_file():
                found.append((file, _state(file)))
    return found


def _state(file: Path) -> State:
    status = file.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _kept(state: State) -> list[int]:
    return list(state)


def _name_key(scope: Scope, file: Path) -> str:
    place = sha256(str(file.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return f"watched-file:{scope.name}:{place}"


def _content_key(scope: Scope, digest: str) -> str:
    return f"watched:{scope.name}:{digest}"


def _free(path: Path) -> Path:
    number = 2
    target = path
    while target.exists():
        target = path.with_name(f"{path.stem}~{number}{path.suffix}")
        number += 1
    return target
