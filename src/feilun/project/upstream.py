"""An endpoint that another server answers behind: its calls are metered here and passed on."""

from __future__ import annotations

from dataclasses import dataclass

from feilun.config import UPSTREAM_KEY
from feilun.errors import UsageError
from feilun.messages import t
from feilun.project.scope import Scope

__all__ = ["Upstream", "pass_on"]

_ASKED = ({"role": "user", "content": "?"},)


@dataclass(frozen=True, slots=True)
class Upstream:
    """A server that speaks OpenAI's chat completions: its `address` (``https://…/v1``), the
    `model` there, and the environment variable that holds the `key`, of which nothing is kept.
    Where a task answers with labels, it is asked for one of `labels` by `instruction`, in which
    ``{labels}`` stands for them (default: a sentence in English)."""

    address: str
    model: str
    key: str = UPSTREAM_KEY
    labels: tuple[str, ...] = ()
    instruction: str = ""

    def check(self, task: str) -> None:
        """Raises `InvalidData` for what is no address, `UsageError` for a task that answers neither
        conversations nor with a label of a text, and for labels that are missing or too many."""
        from feilun.engines.upstream import address_of
        from feilun.tasks import base as tasks

        address_of(self.address)
        found = tasks.get(task)
        if found.conversation(_ASKED) is not None:
            if self.labels:
                raise UsageError("project.upstream_no_labels", task=task)
            return
        texts = [column.kind for column in found.columns] == ["text"] and not found.open_columns
        if not texts or found.family.asserted(None, ("a", "b")) is None:
            raise UsageError("project.no_upstream", task=task)
        if len(set(self.labels)) < 2 or not all(map(found.family.target, self.labels)):
            raise UsageError("project.upstream_labels", task=task, given=list(self.labels))


def pass_on(scope: Scope, upstream: Upstream) -> None:
    """Puts a version live that passes calls on to `upstream`, unless one is live already."""
    from feilun.billing.prices import set_price
    from feilun.engines.card import Card, write_card
    from feilun.engines.upstream import METHOD, address_of
    from feilun.types import Schema

    store, name = scope.store, scope.name
    catalog = store.catalog
    project = catalog.project(name)
    if catalog.live(project.endpoint) is not None:
        return
    address = address_of(upstream.address)
    folder = store.artifacts.new()
    labels = tuple(dict.fromkeys(upstream.labels))
    extra = {
        "address": address,
        "model": upstream.model,
        "key": upstream.key,
        **({"labels": labels} if labels else {}),
        **({"instruction": upstream.instruction} if upstream.instruction else {}),
    }
    point = scope.task.family.neutral() if labels else {}
    schema = Schema(project.task, labels, {})
    write_card(folder, Card("upstream", schema, METHOD, "-", extra=extra, point=point))
    version = catalog.add_model_version(
        name,
        METHOD,
        weights=store.publish(folder, "weights").ref,
        config={"project": scope.config().model_dump(mode="json")},
        reason=t("project.upstream_reason", address=address),
    )
    serving = scope.config().serving
    set_price(catalog, name, serving.price_per_1000, serving.currency)
    catalog.set_live(project.endpoint, version.id, reason=version.reason, actor="init")
