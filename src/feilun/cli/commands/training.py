"""From data to a version that is proven better."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from feilun.cli.options import Reading
from feilun.cli.shell import Shell
from feilun.cli.values import settings
from feilun.errors import UsageError
from feilun.messages import t
from feilun.table import Result

__all__ = [
    "bases",
    "compare",
    "compress",
    "evaluate",
    "forecast",
    "run",
    "train",
    "tune",
    "update",
]


def run(
    shell: Shell,
    method: Annotated[str | None, typer.Option("--method", help=t("cli.option_method"))] = None,
    base: Annotated[str | None, typer.Option("--base", help=t("cli.option_run_base"))] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help=t("cli.option_set"))] = None,
    restart: Annotated[bool, typer.Option("--restart", help=t("cli.option_restart"))] = False,
    later: Annotated[bool, typer.Option("--later", help=t("cli.option_later"))] = False,
    plan: Annotated[bool, typer.Option("--plan", help=t("cli.option_plan_only"))] = False,
) -> None:
    """The whole wheel, from the latest data to a proven version behind the API."""
    with shell.project() as project:
        if plan:
            changes = _with(base, set_) | ({"training.method": method} if method else {})
            with shell.progress() as report:
                shell.show(project.plan(overrides=changes, report=report))
            return
        if later:
            queued = project.enqueue(
                "run", method=method, overrides=_with(base, set_), restart=restart
            )
            shell.emit({"queued": queued}, t("cli.queued", run=queued))
            return
        with shell.progress() as report:
            result = project.run(
                method=method, overrides=_with(base, set_), restart=restart, report=report
            )
    shell.show(result)
    if not result.promoted:
        raise typer.Exit(1)


def train(
    shell: Shell,
    method: Annotated[str | None, typer.Option("--method", help=t("cli.option_method"))] = None,
    base: Annotated[str | None, typer.Option("--base", help=t("cli.option_run_base"))] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help=t("cli.option_set"))] = None,
    restart: Annotated[bool, typer.Option("--restart", help=t("cli.option_restart"))] = False,
) -> None:
    """Candidates of the planned stages, neither judged nor deployed."""
    with shell.project() as project, shell.progress() as report:
        result = project.train(
            method=method, overrides=_with(base, set_), restart=restart, report=report
        )
    shell.show(result)


def tune(
    shell: Shell,
    minutes: Annotated[
        float | None, typer.Option("--minutes", help=t("cli.option_minutes"))
    ] = None,
    trials: Annotated[int | None, typer.Option("--trials", help=t("cli.option_trials"))] = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", help=t("cli.option_tune_method"))
    ] = None,
    base: Annotated[
        list[str] | None, typer.Option("--base", help=t("cli.option_tune_base"))
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help=t("cli.option_set"))] = None,
    restart: Annotated[bool, typer.Option("--restart", help=t("cli.option_restart"))] = False,
    later: Annotated[bool, typer.Option("--later", help=t("cli.option_later"))] = False,
    join: Annotated[bool, typer.Option("--join", help=t("cli.option_join"))] = False,
) -> None:
    """Searches methods, bases and settings; the best is judged as one attempt."""
    changes = settings(set_)
    changes |= {"tune.minutes": minutes} if minutes is not None else {}
    changes |= {"tune.trials": trials} if trials is not None else {}
    changes |= {"tune.methods": method} if method else {}
    changes |= {"tune.bases": base} if base else {}
    with shell.project() as project:
        if later:
            queued = project.enqueue("tune", overrides=changes, restart=restart)
            shell.emit({"queued": queued}, t("cli.queued", run=queued))
            return
        with shell.progress() as report:
            if join:
                shell.show(project.join_search(report=report))
                return
            result = project.tune(overrides=changes, restart=restart, report=report)
    shell.show(result)
    if not result.promoted:
        raise typer.Exit(1)


def update(
    shell: Shell,
    set_: Annotated[list[str] | None, typer.Option("--set", help=t("cli.option_set"))] = None,
    restart: Annotated[bool, typer.Option("--restart", help=t("cli.option_restart"))] = False,
    later: Annotated[bool, typer.Option("--later", help=t("cli.option_later"))] = False,
    quick: Annotated[bool, typer.Option("--quick", help=t("cli.option_quick"))] = False,
) -> None:
    """Learns from the corrections and promotes the result, or says why not."""
    with shell.project() as project:
        if later:
            changes = project.hastened(settings(set_)) if quick else settings(set_)
            queued = project.enqueue("update", overrides=changes, restart=restart)
            shell.emit({"queued": queued}, t("cli.queued", run=queued))
            return
        with shell.progress() as report:
            result = project.update(
                quick=quick, overrides=settings(set_), restart=restart, report=report
            )
    shell.show(result)
    if not result.promoted:
        raise typer.Exit(1)


def bases(
    shell: Shell,
    base: Annotated[list[str] | None, typer.Argument(help=t("cli.argument_bases"))] = None,
    rows: Annotated[int, typer.Option("--rows", min=10, help=t("cli.option_bases_rows"))] = 500,
) -> None:
    """The base models at hand, the best for the rows first, with what each would cost."""
    with shell.project() as project, shell.progress() as report:
        result = project.bases(base or (), rows=rows, report=report)
    shell.show(result)


def compress(
    shell: Shell,
    model: Annotated[str | None, typer.Argument(help=t("cli.argument_model"))] = None,
    explore: Annotated[bool, typer.Option("--explore", help=t("cli.option_explore"))] = False,
) -> None:
    """Builds and measures the variants of a version and chooses one."""
    with shell.project() as project, shell.progress() as report:
        if explore and model is not None:
            raise UsageError("project.explore_all", given=model)
        result = (
            project.explore(report=report) if explore else project.compress(model, report=report)
        )
    shell.show(result)


def evaluate(
    shell: Shell,
    model: Annotated[str | None, typer.Argument(help=t("cli.argument_model"))] = None,
    *,
    on: Annotated[str | None, typer.Option("--on", help=t("cli.option_on"))] = None,
    suite: Annotated[str | None, typer.Option("--suite", help=t("cli.option_suite"))] = None,
    data: Annotated[str | None, typer.Option("--data", help=t("cli.option_suite_data"))] = None,
    method: Annotated[str | None, typer.Option("--method", help=t("cli.option_method"))] = None,
    judge: Annotated[str | None, typer.Option("--judge", help=t("cli.option_judge"))] = None,
    judge_model: Annotated[
        str, typer.Option("--judge-model", help=t("cli.option_judge_model"))
    ] = "",
    against: Annotated[str | None, typer.Option("--against", help=t("cli.option_against"))] = None,
    rows: Annotated[int, typer.Option("--rows", help=t("cli.option_judge_rows"))] = 50,
    price: Annotated[str | None, typer.Option("--price", help=t("cli.option_judge_price"))] = None,
    guard: Annotated[str | None, typer.Option("--guard", help=t("cli.option_guard"))] = None,
    reading: Reading,
) -> None:
    """Judges a version on the test rows, or on the labelled rows of a file.

    Or by a public suite, by a larger model's preference beside another version, or the guard by
    labelled texts.
    """
    others = {"--on": on, "--suite": suite, "--judge": judge, "--guard": guard}
    chosen = [name for name, value in others.items() if value is not None]
    if len(chosen) > 1:
        raise UsageError("cli.one_of", options=chosen)
    if suite is None and (data is not None or method is not None):
        raise UsageError("cli.belongs_to", options=["--data", "--method"], to="--suite")
    if judge is None and (judge_model or against or price):
        raise UsageError(
            "cli.belongs_to", options=["--judge-model", "--against", "--price"], to="--judge"
        )
    result: Result
    with shell.project() as project, shell.progress() as report:
        if suite is not None:
            result = project.suite(suite, data, model, method=method, report=report)
        elif judge is not None:
            result = project.judge(
                judge,
                model,
                judge_model=judge_model,
                against=against,
                rows=rows,
                price=_price(price),
                report=report,
            )
        elif guard is not None:
            result = project.guard_rates(guard)
        else:
            result = project.evaluate(model, on=on, report=report, **reading)
    shell.show(result)


def _price(given: str | None) -> tuple[float, float] | None:
    """``0.15,0.60`` as what a million tokens read and written cost."""
    if given is None:
        return None
    try:
        read, written = (float(one) for one in given.split(","))
    except ValueError:
        raise UsageError("cli.bad_price", given=given) from None
    if not (0 <= read < float("inf") and 0 <= written < float("inf")):
        raise UsageError("cli.bad_price", given=given)
    return read, written


def compare(
    shell: Shell,
    methods: Annotated[str, typer.Option("--methods", help=t("cli.option_methods"))] = "all",
    reference: Annotated[
        str | None, typer.Option("--reference", help=t("cli.option_compare_reference"))
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help=t("cli.option_restart"))] = False,
) -> None:
    """Trains several methods on the same rows and shows them in one table."""
    with shell.project() as project, shell.progress() as report:
        result = project.compare(methods, reference=reference, restart=restart, report=report)
    shell.show(result)


def forecast(
    shell: Shell,
    model: Annotated[str | None, typer.Argument(help=t("cli.argument_model"))] = None,
    gain: Annotated[float | None, typer.Option("--gain", help=t("cli.option_gain"))] = None,
    target: Annotated[float | None, typer.Option("--target", help=t("cli.option_target"))] = None,
) -> None:
    """How many more labels a gain, or a target, would take."""
    with shell.project() as project, shell.progress() as report:
        result = project.forecast(model, gain=gain, target=target, report=report)
    shell.show(result)


def _with(base: str | None, given: list[str] | None) -> dict[str, Any]:
    """The settings that are ``--set``, and the base."""
    return {**({"project.base": base} if base else {}), **settings(given)}
