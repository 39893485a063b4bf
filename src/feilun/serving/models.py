"""The set of versions that answer, and which of them answers where.

The deployments table is the truth: `Models.refresh` loads what it names, then swaps the routes in
one assignment. Calls that began on the old version end on it; it is closed when the last one has.
A version that cannot be loaded leaves the one before it in place. Each is loaded once when it is
first named, so that it is known that it can be; `Residents` says which of them stay in memory.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

from feilun.engines._turns import TURNS
from feilun.errors import EnvironmentProblem, FeilunError, NotFound, UsageError
from feilun.serving.admission import Gate
from feilun.serving.residents import Residents
from feilun.serving.served import Served
from feilun.serving.shadow import Shadow
from feilun.serving.watchdog import Watchdog
from feilun.store.artifacts import Artifacts
from feilun.store.catalog import Catalog
from feilun.store.records import Deployment, Project

__all__ = ["Failure", "Models", "Route"]

log = logging.getLogger("feilun.serving")

CANDIDATE_SECONDS = 900.0
"""How long a candidate stays loaded after its last use."""


@dataclass(frozen=True, slots=True)
class Route:
    """What answers at an endpoint: the live version, and canaries with their shares. `shadows` are
    asked the same as the live version, and not heard."""

    endpoint: str
    project: str
    live: Served
    canaries: tuple[tuple[float, Served], ...] = ()
    shadows: tuple[Shadow, ...] = ()

    def choose(self) -> Served:
        """The version that takes the next call."""
        if self.canaries:
            point = random.random()
            for weight, served in self.canaries:
                if point < weight:
                    return served
                point -= weight
        return self.live


@dataclass(frozen=True, slots=True)
class Failure:
    """A version that should answer and could not be loaded."""

    endpoint: str
    project: str
    version: str
    error: FeilunError | None


class Models:
    """Loaded versions by endpoint, kept equal to the catalog's deployments by `refresh`."""

    def __init__(
        self,
        catalog: Catalog,
        artifacts: Artifacts,
        *,
        streams: int | None = None,
        threads: int | None = None,
        memory: int | None = None,
    ) -> None:
        self._catalog = catalog
        self._artifacts = artifacts
        self.gate = Gate()
        self.residents = Residents(budget=memory, streams=streams, threads=threads)
        self._watchdog = Watchdog(self.residents)
        self._lock = asyncio.Lock()
        self._loaded: dict[tuple[str, str], Served] = {}
        self._routes: Mapping[str, Route] = {}
        self._by_id: Mapping[str, Served] = {}
        self._renamed: Mapping[str, Project] = {}
        self._candidates: dict[tuple[str, str], float] = {}
        self._shadows: dict[int, Shadow] = {}
        self.failures: tuple[Failure, ...] = ()
        self.refreshed = False

    @property
    def routes(self) -> Mapping[str, Route]:
        """What answers at each endpoint now."""
        return self._routes

    @property
    def ready(self) -> bool:
        """Whether something answers at every endpoint that has a live version; not while the
        server stops."""
        dark = {failure.endpoint for failure in self.failures} - set(self._routes)
        return self.refreshed and bool(self._routes) and not dark and not self.gate.draining

    def find(self, model: str | None, project: str | None = None) -> tuple[str, Served]:
        """The endpoint and the version that answer a call for `model`.

        `model` is an endpoint (``reviews``) or a version that answers there (``reviews@3``), or
        what its project was renamed to; None where there is only one endpoint. `project` limits the
        choice. Raises `NotFound` for an unknown one, `EnvironmentProblem` for one that could not be
        loaded (it is tried again every few seconds), and when nothing is live at all.
        """
        routes = self._routes
        if model is not None:
            model = self._identity(model)
            route = routes.get(model)
            if route is not None and project in (None, route.project):
                return model, route.choose()
            served = self._by_id.get(model)
            if served is not None and project in (None, served.project):
                return _endpoint_of(routes, served), served
        for failed in self.failures:
            asked = model in (failed.endpoint, failed.version)
            if asked and project in (None, failed.project):
                raise EnvironmentProblem("serving.not_loaded", version=failed.version)
        mine = [route for route in routes.values() if project in (None, route.project)]
        if model is None and len(mine) == 1:
            return mine[0].endpoint, mine[0].choose()
        if not mine:
            raise EnvironmentProblem("serving.nothing_live")
        options = sorted(name for route in mine for name in (route.endpoint, route.live.id))
        if model is None:
            raise UsageError("serving.name_a_model", options=options, param="model")
        raise NotFound("serving.no_model", model=model, options=options, param="model")

    def _identity(self, model: str) -> str:
        """`model` by the names that never change, where its project was renamed."""
        name, at, number = model.partition("@")
        named = self._renamed.get(name)
        if named is None or model in self._routes:
            return model
        return f"{named.name}@{number}" if at else named.endpoint

    async def refresh(self) -> None:
        """Loads what the catalog deploys now, swaps the routes, retires the rest."""
        async with self._lock:
            wanted = await asyncio.to_thread(self._catalog.active)
            projects = await asyncio.to_thread(self._catalog.projects)
            self._renamed = {name: project for project in projects for name in project.names}
            failures = []
            for deployment in wanted:
                place = (deployment.endpoint, deployment.project, deployment.version)
                try:
                    await self._load(deployment.version, deployment.variant, deployment.artifact)
                except FeilunError as error:
                    log.error("cannot load %s: %s", deployment.version, error.message("en"))
                    failures.append(Failure(*place, error))
                except Exception:
                    log.exception("cannot load %s", deployment.version)
                    failures.append(Failure(*place, None))
            await self._reshadow(wanted)
            self._swap(wanted)
            self.failures = tuple(failures)
            self.refreshed = True
            self._retire_unused()

    def shadows(self) -> dict[int, Shadow]:
        """The shadows by the id of their deployment."""
        return dict(self._shadows)

    def served(self) -> list[Served]:
        """Every version that answers or may answer, in memory or not."""
        return list(self._loaded.values())

    @property
    def replaced(self) -> int:
        """How many engines hung and were replaced."""
        return self._watchdog.replaced

    def watch(self) -> None:
        """Looks for engines that hang; call it every `watchdog.LOOK_SECONDS`."""
        self._watchdog.look(list(self._loaded.values()))

    async def candidate(self, version: str, variant: str | None = None) -> Served:
        """Loads a version that is not live, for golden requests; it leaves again when unused.

        Raises `NotFound` for an unknown version, `CorruptArtifact` for one that was tampered with.
        """
        row = await asyncio.to_thread(self._catalog.model_version, version)
        if variant is not None and variant not in row.variants:
            options = sorted(row.variants)
            raise NotFound("serving.no_variant", version=row.id, variant=variant, options=options)
        ref = row.artifact(variant)
        if ref is None:
            raise NotFound("serving.no_weights", version=row.id)
        async with self._lock:
            served = await self._load(row.id, variant or row.variant, ref)
            self._candidates[served.id, ref] = monotonic() + CANDIDATE_SECONDS
        return served

    def release(self, served: Served) -> None:
        """Lets a candidate go, unless it answers somewhere."""
        self._candidates.pop((served.id, served.ref), None)
        self._retire_unused()

    def expire(self) -> None:
        """Lets candidates go that nobody has used for long."""
        moment = monotonic()
        for key in [key for key, until in self._candidates.items() if until < moment]:
            del self._candidates[key]
        self._retire_unused()

    async def close(self) -> None:
        """Retires everything and waits until it is closed."""
        async with self._lock:
            await self._reshadow(())
            self._routes, self._by_id = {}, {}
            self._candidates.clear()
            self._retire_unused()
        await self.residents.close()

    async def _load(self, version: str, variant: str | None, ref: str) -> Served:
        known = self._loaded.get((version, ref))
        if known is None:
            known = await asyncio.to_thread(self._open, version, variant, ref)
            known.busy += 1  # it must not leave before it has come
            try:
                await self.residents.bring(known)
            finally:
                known.busy -= 1
            self._loaded[version, ref] = known
        return known

    def _open(self, version: str, variant: str | None, ref: str) -> Served:
        row = self._catalog.model_version(version)
        self._artifacts.verify(ref)  # its own check, for what was sound an hour ago
        folder = self._artifacts.path(ref, verify=False)
        return Served(row, variant, ref, folder, self.residents, self.gate)

    async def _reshadow(self, wanted: Sequence[Deployment]) -> None:
        """Begins and ends shadows, so that they are those of `wanted`."""
        named = {deployment.id: deployment for deployment in wanted if deployment.role == "shadow"}
        for id_ in [id_ for id_ in self._shadows if id_ not in named]:
            await self._shadows.pop(id_).close()
        for id_, deployment in named.items():
            served = self._loaded.get((deployment.version, deployment.artifact))
            if served is not None and id_ not in self._shadows:
                self._shadows[id_] = Shadow(served, self._pressed)

    def _pressed(self) -> bool:
        """Whether anything that a caller waits for is under way."""
        return any(
            served.admission.outstanding
            for route in self._routes.values()
            for served in _all(route)
        )

    def _swap(self, wanted: Sequence[Deployment]) -> None:
        routes = {}
        for deployment in wanted:
            if deployment.role != "live":
                continue
            served = self._loaded.get((deployment.version, deployment.artifact))
            if served is None:  # it failed to load: what answered before goes on
                if (old := self._routes.get(deployment.endpoint)) is not None:
                    routes[deployment.endpoint] = old
                continue
            canaries = tuple(
                (beside.weight, canary)
                for beside in wanted
                if (beside.endpoint, beside.role) == (deployment.endpoint, "canary")
                and (canary := self._loaded.get((beside.version, beside.artifact))) is not None
            )
            shadows = tuple(
                shadow
                for beside in wanted
                if beside.endpoint == deployment.endpoint
                and (shadow := self._shadows.get(beside.id)) is not None
            )
            routes[deployment.endpoint] = Route(
                deployment.endpoint, deployment.project, served, canaries, shadows
            )
        self._routes = routes
        for route in routes.values():
            for served in _all(route):
                served.shadows = route.shadows if served is route.live else ()
                if served.engine is not None:  # it may have been a shadow until now
                    TURNS.background(served.engine, wanted=False)
        self._by_id = {served.id: served for route in routes.values() for served in _all(route)}

    def _retire_unused(self) -> None:
        kept = {(served.id, served.ref) for served in self._by_id.values()}
        kept |= {(s.id, s.ref) for route in self._routes.values() for s in _all(route)}
        kept |= {(shadow.served.id, shadow.served.ref) for shadow in self._shadows.values()}
        kept |= self._candidates.keys()
        for key in [key for key in self._loaded if key not in kept]:
            served = self._loaded.pop(key)
            served.retire(lambda gone=served: self.residents.drop(gone))  # type: ignore[misc]


def _all(route: Route) -> list[Served]:
    return [route.live, *(served for _, served in route.canaries)]


def _endpoint_of(routes: Mapping[str, Route], served: Served) -> str:
    for route in routes.values():
        if served in _all(route):
            return route.endpoint
    return served.project
