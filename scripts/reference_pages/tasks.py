"""Every task that is found: what it takes, what it answers, its settings, metrics and baseline."""

from __future__ import annotations

import json
from typing import Any

from feilun.messages import Language
from feilun.tasks import base
from feilun.tasks.base import TaskBase
from feilun.training.settings import method, methods_for
from reference_pages.markdown import code, fence, kind_of, page, prose, shown, table, words
from reference_pages.settings import _WORDS

__all__ = ["render"]


_COLUMNS = (
    "**Columns** and the names by which they are recognised; `--map ROLE=COLUMN` names any other:"
)
_OTHERS = "The others are in the guide to [evaluation](../guides/evaluation.md)."


def _example(item: Any) -> str:
    if isinstance(item, bytes):
        return f"a picture of {len(item)} bytes"
    return code(item if isinstance(item, str) else json.dumps(item, ensure_ascii=False))


def _section(task: TaskBase) -> str:
    columns = [
        (code(c.name), c.kind, ", ".join(code(alias) for alias in c.aliases)) for c in task.columns
    ]
    columns.append(("`label`", "label", ", ".join(code(alias) for alias in task.label_aliases)))
    schema = task.Settings.model_json_schema()
    settings = [
        (
            code(name),
            kind_of(field, _WORDS["en"]),
            shown(field.get("default")),
            field.get("description", ""),
        )
        for name, field in schema["properties"].items()
    ]
    examples = [(_example(e.item), code(str(e.label))) for e in task.examples]
    better = "higher" if task.family.metrics.get(task.primary, True) else "lower"
    metrics = ", ".join(map(code, task.family.metrics))
    baseline = methods_for(task)[0]
    learns = task.features if baseline == "linear" else method(baseline)
    told = prose((learns.__doc__ or "").partition("\n\n")[0])
    base_model = (
        code(task.default_base) if task.default_base else "none: methods that need one are left out"
    )
    return "\n\n".join(
        [
            f"## {task.name}",
            prose(type(task).__doc__),
            f"中文：{task.about('zh')}。",
            fence(f"feilun init NAME --task {task.name}", "bash"),
            _COLUMNS,
            table(("role", "holds", "recognised names"), columns),
            "Besides these, `id`, `group` and `subject` are recognised where a file has them.",
            f"**Primary metric**: {code(task.primary)}, {better} is better. {_OTHERS}",
            f"**All metrics**, as `feilun evaluate --json` calls them: {metrics}.",
            f"**Baseline**: [{code(baseline)}](methods.md#{baseline}). {told}",
            f"**Base model** when the project names none: {base_model}.",
            "**Settings**, the `[task]` table of the project file:",
            table(("setting", "type", "default", "meaning"), settings),
            "**Examples**:",
            table(("input", "label"), examples),
            "**One input** on the wire:",
            fence(json.dumps(task.input_schema(), indent=2, ensure_ascii=False), "json"),
            "**One output** on the wire:",
            fence(json.dumps(task.family.output_schema(), indent=2, ensure_ascii=False), "json"),
        ]
    )


def render(lang: Language) -> str:
    """The page of tasks."""
    found = [base.get(name) for name in base.names()]
    listed = [
        (
            f"[`{task.name}`](#{task.name})",
            task.about("en"),
            task.about("zh"),
        )
        for task in found
    ]
    return page(
        "Tasks",
        words("tasks", lang),
        table(("task", "what it does", "作用"), listed),
        *map(_section, found),
    )
