"""One search over methods, bases and settings, kept in a database that any process may join.

The tree-structured Parzen estimator (Bergstra and others, "Algorithms for Hyper-Parameter
Optimization", 2011) chooses what to try; asynchronous successive halving (Li and others, "A System
for Massively Parallel Hyperparameter Tuning", 2020) ends trainings that fall behind. Both are
Optuna's. What its tables hold are settings and figures, no rows.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from feilun.store.database import take_turns
from feilun.types import OneOf, Range, Real, Whole

if TYPE_CHECKING:
    import optuna

__all__ = ["Arm", "Search", "Trial"]

_TENTHS = 10
"""Places of a training at which trials are compared."""
_FIRST = 3
"""The first of them: what falls behind earlier may only be slow to begin."""
_KEPT = 3
"""One trial in so many goes on at each place."""
_TOLD = 8
"""Whole trials of an arm from which on it is said which of its settings matter."""
_HELD = ("default", "low", "high", "seconds", "reason", "process")


@dataclass(frozen=True, slots=True)
class Arm:
    """A method and the base that it starts from, None where it needs none; `space` are its settings
    with what they may be, `default` what they are otherwise."""

    method: str
    base: str | None
    space: Mapping[str, Range]
    default: Mapping[str, Any]

    @property
    def name(self) -> str:
        """``full minilm``, or the method alone."""
        return self.method if self.base is None else f"{self.method} {self.base}"

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives an equal arm back."""
        space = {name: [type(one).__name__, asdict(one)] for name, one in self.space.items()}
        return {**asdict(self), "space": space}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Arm:
        """The arm that `to_json` wrote."""
        kinds = {kind.__name__: kind for kind in (OneOf, Real, Whole)}
        space = {name: kinds[kind](**values) for name, (kind, values) in raw["space"].items()}
        space = {
            name: OneOf(tuple(one.values)) if isinstance(one, OneOf) else one
            for name, one in space.items()
        }
        return cls(raw["method"], raw["base"], space, dict(raw["default"]))


@dataclass(frozen=True, slots=True)
class Trial:
    """One training of a search: what it tried, and what came of it.

    `state` is ``complete``, ``pruned`` (it fell behind, or the time was over), ``failed`` or
    ``running``. `value` is the metric on the judging rows with its interval, for pruned trials the
    last one seen. `seconds` is what it took, `reason` why there is no value.
    """

    number: int
    method: str
    base: str | None
    given: Mapping[str, Any]
    state: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    seconds: float | None = None
    default: bool = False
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "given": dict(self.given)}


@dataclass
class Asked:
    """A trial that is to be made: `tell` it how far it is, and then its end."""

    arm: Arm
    given: dict[str, Any]
    number: int
    default: bool
    _study: Any = field(repr=False)
    _trial: Any = field(repr=False)
    _place: int = 0

    def behind(self, done: float, value: float) -> bool:
        """Notes the metric after the share `done` (0 to 1) of the training; whether the trial is
        so far behind others that it should end."""
        place = int(done * _TENTHS)
        if place <= self._place:
            return False
        self._place = place
        self._trial.report(value, place)
        return place < _TENTHS and bool(self._trial.should_prune())

    def complete(self, value: float, low: float | None, high: float | None, took: float) -> None:
        """It was made and judged."""
        self._note(low=low, high=high, seconds=took)
        self._study.tell(self._trial, value)

    def pruned(self, reason: str, took: float) -> None:
        """It was ended before its end."""
        self._note(reason=reason, seconds=took)
        self._tell("PRUNED")

    def failed(self, reason: str, took: float) -> None:
        """It could not be made, or not here."""
        self._note(reason=reason, seconds=took)
        self._tell("FAIL")

    def again(self, took: float) -> None:
        """It was interrupted: the same is tried first by whoever goes on."""
        self.failed("interrupted", took)
        attributes = {"default": True} if self.default else {}
        self._study.enqueue_trial(self._trial.params, user_attrs=attributes)

    def _note(self, **given: Any) -> None:
        for name, value in given.items():
            self._trial.set_user_attr(name, value)

    def _tell(self, state: str) -> None:
        import optuna

        self._study.tell(self._trial, state=optuna.trial.TrialState[state])


class Search:
    """The trials of a search, in the database at `url` under `name`; it is made where it is not
    there. Any number of processes may ask and tell at the same time."""

    def __init__(
        self, url: str, name: str, arms: Sequence[Arm], *, higher: bool, seed: int = 0
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._arms = {arm.name: arm for arm in arms}
        self._storage = optuna.storages.RDBStorage(url, engine_kwargs=_patient(url))
        take_turns(self._storage.engine)
        self._higher = higher
        self._study = optuna.create_study(
            storage=self._storage,
            study_name=name,
            direction="maximize" if higher else "minimize",
            load_if_exists=True,
            pruner=optuna.pruners.SuccessiveHalvingPruner(
                min_resource=_FIRST, reduction_factor=_KEPT
            ),
        )
        # Processes of one search must not all ask for the same; one alone asks the same each time.
        others = len(self._study.get_trials(deepcopy=False))
        self._study.sampler = optuna.samplers.TPESampler(seed=seed + others, n_startup_trials=8)

    def begin(self, also: Sequence[tuple[str, Mapping[str, Any]]] = ()) -> None:
        """Tries the settings as they stand first, each arm once, and `also` these: names of arms
        with settings. Where the search is there already, takes up what processes of this machine
        left when they were killed."""
        trials = self._study.get_trials(deepcopy=False)
        if not trials:
            defaults = [(name, arm.default, True) for name, arm in self._arms.items()]
            others = [(name, given, False) for name, given in also if name in self._arms]
            for name, given, default in (*defaults, *others):
                asked = {_key(self._arms[name], key): value for key, value in given.items()}
                self._study.enqueue_trial(
                    {"arm": name, **asked}, user_attrs={"default": True} if default else {}
                )
        for trial in trials:
            if trial.state.name == "RUNNING" and _gone(trial.user_attrs.get("process")):
                self._study.tell(trial.number, state=type(trial.state)["FAIL"])
                held = {k: v for k, v in trial.user_attrs.items() if k == "default"}
                self._study.enqueue_trial(trial.params, user_attrs=held)

    def ask(self) -> Asked:
        """What to try next."""
        trial = self._study.ask()
        trial.set_user_attr("process", _process())
        arm = self._arms[trial.suggest_categorical("arm", sorted(self._arms))]
        given = {name: _suggested(trial, _key(arm, name), one) for name, one in arm.space.items()}
        default = bool(trial.user_attrs.get("default"))
        return Asked(arm, given, trial.number, default, self._study, trial)

    def trials(self) -> list[Trial]:
        """All that were begun, in their order."""
        return [self._trial(one) for one in self._begun()]

    def best(self) -> Trial | None:
        """The best of those that came to their end; of equal ones the settings as they stand, then
        the quicker."""
        sign = 1.0 if self._higher else -1.0
        whole = [one for one in self.trials() if one.state == "complete"]

        def rank(one: Trial) -> tuple[float, bool, float]:
            return sign * (one.value or 0.0), one.default, -(one.seconds or 0.0)

        return max(whole, key=rank, default=None)

    def spent(self) -> float:
        """Seconds in which at least one process was searching."""
        starts = [(one.datetime_start, one.user_attrs.get("seconds")) for one in self._begun()]
        total, reached = 0.0, 0.0
        for start, took in sorted((a.timestamp(), b) for a, b in starts if a and b is not None):
            end = start + took
            total += max(0.0, end - max(start, reached))
            reached = max(reached, end)
        return total

    def importance(self) -> tuple[str, dict[str, float]]:
        """The arm that was tried most, and the share of the differences between its trials that
        each setting explains, largest first (functional ANOVA; Hutter and others, "An Efficient
        Approach for Assessing Hyperparameter Importance", 2014); nothing for too few trials."""
        import optuna

        whole = [one for one in self._begun() if one.state.name == "COMPLETE"]
        counted = Counter(str(one.params["arm"]) for one in whole)
        arm, count = max(counted.items(), key=lambda one: one[1], default=("", 0))
        if count < _TOLD or not self._arms[arm].space:
            return arm, {}
        own = [one for one in whole if one.params["arm"] == arm]
        apart = optuna.create_study(direction="maximize" if self._higher else "minimize")
        apart.add_trials(own)
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        found = optuna.importance.get_param_importances(apart, evaluator=evaluator)
        begin = _key(self._arms[arm], "")
        shares = {
            name.removeprefix(begin): float(share)
            for name, share in found.items()
            if name != "arm" and share == share
        }
        return arm, dict(sorted(shares.items(), key=lambda one: -one[1]))

    def close(self) -> None:
        """Lets go of the database."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _begun(self) -> list[optuna.trial.FrozenTrial]:
        waiting = "WAITING"
        return [one for one in self._study.get_trials(deepcopy=False) if one.state.name != waiting]

    def _trial(self, one: optuna.trial.FrozenTrial) -> Trial:
        held = {name: one.user_attrs[name] for name in _HELD if name in one.user_attrs}
        held.pop("process", None)
        arm = self._arms.get(str(one.params.get("arm", "")))
        states = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
        begin = "" if arm is None else _key(arm, "")
        return Trial(
            number=one.number,
            method=arm.method if arm else "",
            base=arm.base if arm else None,
            given={
                name.removeprefix(begin): value
                for name, value in one.params.items()
                if name != "arm"
            },
            state=states.get(one.state.name, "running"),
            value=one.value if one.values else None,
            **held,
        )


def _key(arm: Arm, name: str) -> str:
    """A method's settings mean the same from whatever base it starts."""
    return f"{arm.method}.{name}"


def _suggested(trial: Any, key: str, one: Range) -> Any:
    if isinstance(one, OneOf):
        return trial.suggest_categorical(key, list(one.values))
    suggest: Callable[..., Any] = (
        trial.suggest_int if isinstance(one, Whole) else trial.suggest_float
    )
    return suggest(key, one.low, one.high, log=one.log)


def _patient(url: str) -> dict[str, Any]:
    """Several processes write to one SQLite file: each waits for its turn."""
    return {"connect_args": {"timeout": 30}} if url.startswith("sqlite") else {}


def _process() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _gone(process: Any) -> bool:
    """Whether a process of this machine is no more."""
    import psutil

    host, _, pid = str(process).rpartition(":")
    return host == socket.gethostname() and not psutil.pid_exists(int(pid))
