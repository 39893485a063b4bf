"""What is advised can be typed, says the same in both languages, and is typed by a test."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from feilun import messages
from feilun.cli.advised import completion, of_project
from feilun.cli.app import command_functions, run
from feilun.errors import InvalidData
from helpers.advice import COMMAND, advice, commands_in, fault, sentence, shape, verb, walked
from helpers.rows import write_reviews


def test_every_command_that_a_sentence_names_can_be_typed() -> None:
    langs: tuple[messages.Language, ...] = messages.LANGUAGES
    faults = {
        f"{name} ({lang}): {why}"
        for name in advice()
        if not name.startswith("feilun ")
        for lang in langs
        for command in commands_in(sentence(name, lang))
        if (why := fault(command))
    }
    assert not faults, "\n".join(sorted(faults))


@pytest.mark.parametrize("lang", messages.LANGUAGES)
def test_every_command_names_its_project_and_workspace_where_it_has_to(
    lang: messages.Language,
) -> None:
    """Once each, behind the verb, so that it can be typed as before."""
    complete = completion(command_functions(), of_project(), Path("a b"), "茶 店")
    for name in advice():
        if name.startswith("feilun "):
            continue
        before = list(commands_in(sentence(name, lang)))
        after = list(commands_in(complete(sentence(name, lang), None, lang)))
        assert list(map(verb, after)) == list(map(verb, before)), name
        for command in after:
            assert command.count("--workspace") == 1, command
            wanted = verb(command).removeprefix("feilun ") in of_project()
            assert command.count("--project") >= wanted, command
            words = command.replace("--workspace 'a b'", "").replace("--project '茶 店'", "")
            assert fault(" ".join(words.split())) is None, command


def test_what_is_named_already_and_what_is_spoken_of_is_left() -> None:
    complete = completion(command_functions(), of_project(), None, "tea")
    assert complete("first feilun run, then feilun status", None, "en") == (
        "first feilun run --project tea, then feilun status"
    )
    assert complete("feilun run", "shop{1}", "en") == "feilun run --project 'shop{{1}}'"
    for left in ("feilun update --project {project}", "feilun runner", "feilun data --help"):
        assert complete(left, None, "en") == left
    alone = completion(command_functions(), of_project())
    assert alone("feilun run", None, "en") == "feilun run"
    whichever = completion(command_functions(), of_project(), several=True)
    assert whichever("feilun run", None, "zh") == "feilun run --project 名称"


@pytest.mark.parametrize("several", [False, True])
def test_what_is_advised_works_as_it_is_printed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    several: bool,
) -> None:
    """With one project in the folder where the user stands; with two of another folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEILUN_LANG", "zh")
    here = ["--workspace", "a b"] if several else []
    for name in ("茶店", "别的")[: 1 + several]:
        assert run(["init", name, *here]) == 0
    of = ["--project", "茶店"] if several else []
    assert run(["data", "show", *here, *of]) == InvalidData.exit_code
    printed = capsys.readouterr().err
    [advised] = COMMAND.findall(printed)
    options = "--workspace 'a b' --project '茶店' " if several else ""
    assert advised.strip() == f"feilun data add {options}文件"
    write_reviews(tmp_path / "文件.csv", 12)
    assert run(shlex.split(advised.replace("文件", "文件.csv"))[1:]) == 0
    assert run(["versions", *here, *of]) == 0
    assert f"feilun run {options}".strip() in capsys.readouterr().out
    assert run(["data", "show", *here, *of]) == 0

    # Where no project was named, one is asked for.
    assert run(["import", "文件.csv", *here]) == InvalidData.exit_code
    options = "--workspace 'a b' --project 名称 " if several else ""
    assert f"feilun export {options}版本 文件夹" in capsys.readouterr().err
    assert messages.t("project.nothing_trained_yet", "en").endswith("feilun run")


def test_both_languages_name_the_same_commands() -> None:
    different = [
        name
        for name, named in advice().items()
        if not name.startswith("feilun ")
        and sorted(map(verb, named)) != sorted(map(verb, commands_in(sentence(name, "zh"))))
    ]
    assert not different, "\n".join(different)


_UNWALKED = {
    "needs damage, a full disk or another process": """
        cli.os_error_hint dataset.disk_full.hint dataset.no_media.hint dataset.unreadable.hint
        engines.bad_card.hint engines.bad_shapes.hint engines.bad_weights.hint engines.failed.hint
        engines.generator_failed.hint engines.not_finite.hint pipeline.server_refused.hint
        project.server_away.hint serving.no_weights.hint store.already_running.hint
        store.corrupt_file.hint store.corrupt_manifest.hint store.database_corrupt.hint
        store.database_unreachable.hint store.disk_full.hint store.fix_disk store.fix_ledger
        store.fix_restore store.no_artifact.hint store.no_backup.hint
        store.version_without_weights.hint training.bad_checkpoint.hint training.diverged.hint
        training.scratch_in_use.hint vault.gone.hint billing.sums_differ.hint""",
    "stands in a page or an answer over HTTP": """
        project.not_audited.hint api.no_search billing.no_key.hint billing.no_scope.hint
        console.first_time
        console.foreign_host console.link_used.hint console.no_server console.plan_words
        console.too_large.hint evaluation.report_frontier_lead project.answers_not_yet
        review.customers_wait serving.nothing_live.hint store.input_gone.hint
        store.input_not_stored.hint store.key_not_rotated.hint drift.worker_review
        house.no_backup""",
    "of tasks whose own tests go round": """
        audit.mixed_frequencies.hint audit.no_series.hint forecasts.too_far.hint
        forecasts.unknown_series.hint likelihood.no_end.hint likelihood.no_mask.hint
        preference.done preference.needs_terminal preference.no_prompts.hint
        preference.no_words.hint preference.not_begun.hint preferences.none_named.hint
        preferences.none_yet.hint tags.always_together.hint tags.everywhere.hint tokenizer.next
        training.few_histories.hint training.no_tokenizer.hint project.other_task.hint
        project.judge_no_rows.hint project.guard_no_model.hint""",
    "needs two terminals": "tune.going_on",
    "trains for minutes, or needs a base model or a server": """
        bases.not_here.hint compare.nothing.hint plans.nothing_answered.hint
        training.no_teacher.hint training.other_labels.hint training.note_empty
        upstream.update_now""",
}
"""Advice that no walk types, by the reason. New advice is walked, or stands here with a reason, or
is the same command with the same options as another sentence whose command is typed."""


def test_every_advice_is_typed_by_a_walk_or_says_why_not() -> None:
    excused = {name for names in _UNWALKED.values() for name in names.split()}
    typed = {shape(command) for name in walked() for command in advice().get(name, ())}
    alike = {
        name for name, named in advice().items() if named and typed.issuperset(map(shape, named))
    }
    assert not walked() - set(advice()), "walked, but said nowhere"
    assert not excused - set(advice()), "excused, but said nowhere"
    assert not excused & walked(), "excused, but walked"
    forgotten = sorted(set(advice()) - excused - walked() - alike)
    assert not forgotten, "\n".join(forgotten)
