"""The log of administrative acts, as it is shown and checked."""

from __future__ import annotations

import json

from feilun.errors import CorruptArtifact, UsageError
from feilun.messages import t
from feilun.project.results import Listing
from feilun.store import Store
from feilun.store.catalog_audit import AuditHead
from feilun.table import Moment, Table, to_jsonable

__all__ = ["Acts"]


class Acts:
    """`Workspace.acts`: who did what, in a hash chain."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list(
        self, limit: int = 50, *, action: str | None = None, before: int | None = None
    ) -> Listing:
        """The newest acts, oldest of them first; those whose action is `action` or begins so, of a
        number below `before`."""
        acts = self._store.catalog.acts(limit, action=action, before=before)[::-1]
        rows = [to_jsonable(act) for act in acts]
        shown = [
            [
                str(act.number),
                Moment(act.at, "%Y-%m-%d %H:%M:%S"),
                act.actor,
                act.action,
                act.subject,
                json.dumps(act.detail, ensure_ascii=False) if act.detail else "",
            ]
            for act in acts
        ]
        names = ("act_number", "act_at", "act_actor", "act_action", "act_subject", "act_detail")
        return Listing(rows, Table(t("project.acts"), [t(f"project.{n}") for n in names], shown))

    def head(self) -> str:
        """The end of the chain as ``NUMBER:HASH``, to be kept outside the database."""
        return str(self._store.catalog.audit_head())

    def verify(self, head: str | None = None) -> int:
        """Reads the whole chain; how many acts it holds. `head` is one that `head` gave earlier.

        Raises `CorruptArtifact`, naming the first number that is broken, and `UsageError` for a
        `head` that is none.
        """
        try:
            known = AuditHead.parse(head) if head else None
        except ValueError:
            raise UsageError("project.no_head", given=(head or "")[:100]) from None
        check = self._store.catalog.verify_audit(known)
        if check.broken is not None:
            why = t(f"project.acts_{check.why}")
            raise CorruptArtifact("project.acts_broken", number=check.broken, why=why)
        return check.rows
