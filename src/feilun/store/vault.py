"""What reversible masks stand for: one small file a project, readable by its owner alone.

It lies in ``.feilun/vaults`` and belongs to no artifact, no export and no backup: whoever has a
data version has pseudonyms, and only who has this file as well has what they stand for.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import sqlite3
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from feilun.errors import EnvironmentProblem

__all__ = ["Vault", "vault_file"]

_LETTERS = "bcdfghjkmnpqrtvw"
_LENGTHS = (12, 16, 20, 24)
_SPACES = re.compile(r"[\s().-]+")


def vault_file(state: Path, project: str) -> Path:
    """Where the vault of `project` lies in the folder ``.feilun``."""
    return state / "vaults" / f"{project}.db"


class Vault:
    """Pseudonyms and what they stand for.

    A pseudonym is made of the value by a secret key, so that one value has one pseudonym in all
    rows; 48 bits of it, more only where two values would share one. `file` is made when it is not
    there, unless `key` (what `key_id` said before) asks for a certain one. A `passing` vault writes
    nothing.
    """

    def __init__(self, file: Path, *, key: str | None = None, passing: bool = False) -> None:
        self.file = file
        there = file.is_file()
        if key is not None and not there:
            raise EnvironmentProblem("vault.gone", file=file)
        with self._told():
            if passing and not there:
                self._db = sqlite3.connect(":memory:")
            else:
                if not there:
                    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
                self._db = sqlite3.connect(file, timeout=30, isolation_level="DEFERRED")
            self._passing = passing
            self._db.execute("CREATE TABLE IF NOT EXISTS key (value BLOB NOT NULL)")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS said"
                " (letters TEXT PRIMARY KEY, kind TEXT NOT NULL, value TEXT NOT NULL)"
            )
            row = self._db.execute("SELECT value FROM key").fetchone()
            if row is None:
                row = (secrets.token_bytes(32),)
                self._db.execute("INSERT INTO key VALUES (?)", row)
            if not passing:
                self._db.commit()
        self._key: bytes = row[0]
        self._letters = lru_cache(4096)(self._make)
        if key is not None and key != self.key_id:
            self.close()
            raise EnvironmentProblem("vault.other", file=file)

    @property
    def key_id(self) -> str:
        """Tells one key from another, and nothing about it."""
        return hashlib.sha256(b"feilun vault" + self._key).hexdigest()[:16]

    def letters(self, kind: str, value: str) -> str:
        """The letters of the pseudonym of `value`; noted, if they are new. Spaces, dashes and
        width make no difference to the letters; what was met first is what comes back."""
        return self._letters(kind, value)

    def _make(self, kind: str, value: str) -> str:
        plain = _SPACES.sub("", unicodedata.normalize("NFKC", value)).casefold()
        digest = hmac.new(self._key, f"{kind}\0{plain}".encode(), hashlib.sha256).hexdigest()
        every = "".join(_LETTERS[int(c, 16)] for c in digest)
        with self._told():
            for length in _LENGTHS:
                letters = every[:length]
                known = self.value(letters)
                if known is None:
                    self._db.execute("INSERT INTO said VALUES (?, ?, ?)", (letters, kind, value))
                    return letters
                if _SPACES.sub("", unicodedata.normalize("NFKC", known)).casefold() == plain:
                    return letters
        return every

    def value(self, letters: str) -> str | None:
        """What a pseudonym stands for, None when it is not known here."""
        with self._told():
            row = self._db.execute(
                "SELECT value FROM said WHERE letters = ?", (letters,)
            ).fetchone()
        return None if row is None else str(row[0])

    def about(self, texts: Sequence[str]) -> list[str]:
        """The letters of the pseudonyms whose value has one of `texts` in it, in any case."""
        wanted = [text.casefold() for text in texts]
        with self._told():
            rows = self._db.execute("SELECT letters, value FROM said").fetchall()
        return [letters for letters, value in rows if any(w in value.casefold() for w in wanted)]

    def forget(self, letters: Sequence[str]) -> None:
        """Forgets what these stand for, for good."""
        with self._told():
            self._db.execute("PRAGMA secure_delete = ON")
            for one in letters:
                self._db.execute("DELETE FROM said WHERE letters = ?", (one,))
            self._db.commit()

    def __len__(self) -> int:
        with self._told():
            return int(self._db.execute("SELECT count(*) FROM said").fetchone()[0])

    def commit(self) -> None:
        """Keeps what was noted; without it nothing of it stays."""
        if not self._passing:
            with self._told():
                self._db.commit()

    def close(self) -> None:
        """Lets go of the file. What was not committed is forgotten."""
        self._db.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise EnvironmentProblem("vault.broken", file=self.file, reason=str(error)) from None
