"""What a method gets beside the rows of a data version: versions at hand, for an ensemble, a soup
or a student, and rows without a label, for what learns from a version's answers to them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from feilun.data.content import content_key
from feilun.engines.card import read_card
from feilun.engines.cascade import stages_of
from feilun.pipeline.context import Context
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.training.settings import method
from feilun.types import Example, Item

__all__ = ["members", "members_of", "unlabelled"]

_MOST = 20_000
"""Inputs of calls that teach at most, the newest; and rows of corpora, drawn by lot."""


def members(context: Context, name: str, settings: Mapping[str, Any]) -> tuple[Path, ...]:
    """The folders of the newest versions of the methods in the setting ``of`` (default: of every
    other method that does not combine itself), oldest first, for the method `name`; nothing for
    one that does not combine. All versions of these methods for one that wants ``every`` one. Of a
    cascade it is the last stage."""
    how = getattr(method(name), "combines", None)
    if how is None:
        return ()
    wanted = tuple(settings.get("of", ()))
    found: dict[str, Path] = {}
    for version in context.store.catalog.model_versions(context.project):
        other = version.method
        fits = other in wanted if wanted else other != name
        if not fits or version.pruned or version.state == "failed" or version.artifact() is None:
            continue
        folder = context.folder(version, "" if how == "weights" else None)
        if how == "served":
            folder = (stages_of(folder) if read_card(folder).format == "cascade" else [folder])[-1]
        place = version.id if getattr(method(name), "every", False) else other
        found.pop(place, None)
        found[place] = folder
    return tuple(found.values())


def unlabelled(context: Context, settings: Mapping[str, Any], out: Path) -> Path | None:
    """Writes rows without a label as a data version into `out`, each content once, where a method's
    settings want them: with ``traffic`` what callers asked of late (inputs without feedback that
    are kept and may be), with ``corpus`` rows of the project's corpora. What stands in the newest
    data version is left out: what judges teaches nothing. None where there are none."""
    data = context.store.catalog.latest_data(context.project)
    if data is None or not (settings.get("traffic") or settings.get("corpus")):
        return None
    dataset = context.dataset(data)
    seen = {content_key(one.item) for one in dataset.examples()}
    known = len(seen)
    shutil.rmtree(out, ignore_errors=True)
    with DatasetWriter(out, dataset.columns) as writer:
        for item in _without_label(context, settings):
            key = content_key(item)
            if key not in seen:
                seen.add(key)
                writer.add(Example(key.hex(), item, None))
        writer.close(dataset.schema)
    return out if len(seen) > known else None


def _without_label(context: Context, settings: Mapping[str, Any]) -> Iterator[Item]:
    if settings.get("traffic"):
        asked = context.store.ledger.recent_predictions(
            context.project, limit=_MOST, unlabelled_only=True
        )
        yield from (one.input for one in asked if one.input is not None)
    if settings.get("corpus"):
        kept = context.store.catalog.corpora(context.project)
        corpora = [Dataset(context.store.artifacts.path(one["artifact"])) for one in kept]
        count = sum(map(len, corpora))
        lots = np.random.default_rng(context.config.training.seed).permutation(count)[:_MOST]
        chosen, place = set(lots.tolist()), 0
        for corpus in corpora:
            for example in corpus.examples():
                if place in chosen:
                    yield example.item
                place += 1


def members_of(folder: Path) -> tuple[str, ...]:
    """The methods of the members of the version in `folder`."""
    return tuple(read_card(one).method for one in stages_of(folder))
