"""What lies between a data version and the rows that a version which went live had learned."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from feilun.store.catalog import Catalog
from feilun.store.records import DataVersion, ModelVersion

__all__ = [
    "kept_calls",
    "kept_corrections",
    "to_learn",
    "trained",
    "tried",
    "unlearnt",
]

_BESIDE_CORRECTIONS, _BESIDE_OTHERS = 6.0, 1.0
"""Old rows beside each correction, and beside each other new row."""


def trained(catalog: Catalog, version: ModelVersion) -> ModelVersion:
    """`version`, or for a quick one the version whose vectors it was made of: that is what the next
    training goes on from, so that what stood in between leaves no trace."""
    while version.config.get("rung", {}).get("quick") and version.config["rung"]["previous"]:
        version = catalog.model_version(version.config["rung"]["previous"])
    return version


def unlearnt(catalog: Catalog, latest: DataVersion) -> list[DataVersion]:
    """The data versions of corrections up to `latest` that no version which went live has learned,
    oldest first: an update was refused, or did not get that far. Going back to an earlier data
    version ends the line."""
    models = catalog.model_versions(latest.project)
    learned = {one.data_version for one in models if one.state in ("live", "retired")}
    line = _since(catalog, latest, learned)
    return [one for one in line if one.reason == "feedback" and one.info.get("changed")]


def tried(catalog: Catalog, corrections: Sequence[DataVersion]) -> int:
    """How many of these `corrections` a version learned that did not go live."""
    models = catalog.model_versions(corrections[0].project) if corrections else []
    named = [one.data_version for one in models if one.data_version is not None]
    newest = max((catalog.data_version(name).number for name in set(named)), default=0)
    return sum(one.info["corrections"] for one in corrections if one.number <= newest)


def kept_corrections(catalog: Catalog, project: str) -> int:
    """How many corrections stand in the rows and in no version that went live."""
    return _kept(catalog, project, "corrections")


def kept_calls(catalog: Catalog, project: str) -> int:
    """The same of calls that another server answered."""
    return _kept(catalog, project, "calls")


def _kept(catalog: Catalog, project: str, what: str) -> int:
    latest = catalog.latest_data(project)
    found = unlearnt(catalog, latest) if latest is not None else []
    return sum(one.info.get(what, 0) for one in found)


def to_learn(
    catalog: Catalog, latest: DataVersion, live: ModelVersion, replay: float | None
) -> tuple[tuple[str, ...], float]:
    """Ids of the rows that came, or got another label, since `live` learned, and how many old rows
    are learnt beside each; `replay` is ``update.replay``.

    Corrections are what `live` has wrong. Learnt beside as many others they teach it to contradict
    itself: beside six they are about as large a part as mistakes are of its answers (measured,
    benchmarks.evidence.corrections).
    """
    line = _since(catalog, latest, {live.data_version})
    ids = [row for one in line for row in one.info.get("new_ids", ())]
    if replay is None:
        corrections = sum(
            one.info.get("corrections", 0) for one in line if one.reason == "feedback"
        )
        share = min(1.0, corrections / len(ids)) if ids else 1.0
        replay = _BESIDE_CORRECTIONS * share + _BESIDE_OTHERS * (1 - share)
    return tuple(dict.fromkeys(ids)), replay


def _since(
    catalog: Catalog, latest: DataVersion, stop: Collection[str | None]
) -> list[DataVersion]:
    line: list[DataVersion] = []
    one: DataVersion | None = latest
    while one is not None and one.id not in stop and one.reason != "use":
        line.append(one)
        one = catalog.data_version(one.parent) if one.parent is not None else None
    return line[::-1]
