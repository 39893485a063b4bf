"""What a call may ask of how its answer is written: checked here for all three OpenAI routes.

Everything that is asked is done or refused by its name. What every engine does (``max_tokens``,
``stop``, ``n``) goes through; the rest only where the version's engine says that it honours it.
What asks for nothing (``frequency_penalty: 0``, ``response_format: {"type": "text"}``) is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from feilun.engines._schema import check_schema, mismatched
from feilun.errors import BadAnswer, InvalidData, UsageError
from feilun.serving.served import Served
from feilun.types import Output

__all__ = ["MAX_CHOICES", "MAX_STOPS", "Asked", "ignored", "in_range"]

MAX_STOPS = 16
"""Stop texts of a call."""
MAX_STOP = 256
"""Characters of one."""
MAX_CHOICES = 16
"""Answers to one prompt, and prompts of one call."""
MAX_TOOLS = 128
MAX_ALTERNATIVES = 20

_RANGES = {
    "max_tokens": (1, 1_000_000),
    "max_completion_tokens": (1, 1_000_000),
    "max_output_tokens": (1, 1_000_000),
    "temperature": (0, 2),
    "top_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
    "n": (1, MAX_CHOICES),
    "best_of": (1, MAX_CHOICES),
    "top_logprobs": (0, MAX_ALTERNATIVES),
    "logprobs": (0, MAX_ALTERNATIVES),
    "seed": (-(2**63), 2**63 - 1),
}
_NEUTRAL = {"frequency_penalty": 0, "presence_penalty": 0, "top_p": 1}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def in_range(name: str, value: float | None) -> None:
    """Raises `InvalidData` for a `value` that the field `name` cannot have."""
    least, most = _RANGES[name]
    if value is not None and not least <= value <= most:
        told = f"{most:,}"
        raise InvalidData("chat.out_of_range", given=value, least=least, most=told, param=name)


def ignored(name: str, value: Any, allowed: Sequence[Any]) -> None:
    """Raises `InvalidData` unless the field `name`, which is not honoured, has a value (one of
    `allowed`, or none at all) that asks for nothing."""
    if value is not None and value not in allowed:
        options = ", ".join(repr(one) for one in allowed)
        told = str(value)[:80]
        raise InvalidData("chat.only_value", given=told, options=options or "null", param=name)


@dataclass(slots=True)
class Asked:
    """The options of one call. `names` tell under which name a field stands in the body of the
    interface, where it is another than the option's."""

    options: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    _schemas: dict[str, Any] = field(default_factory=dict)
    _strict: dict[str, Any] = field(default_factory=dict)

    def number(self, name: str, value: float | None, *, called: str | None = None) -> None:
        """A number within its limits; None is not asked. Raises `InvalidData`."""
        in_range(called or name, value)
        if value is not None and value != _NEUTRAL.get(name):
            self.options[name] = value
            self.names[name] = called or name

    def stop(self, value: str | Sequence[str] | None) -> None:
        """One text or several that end the answer. Raises `InvalidData`."""
        words = [value] if isinstance(value, str) else list(value or ())
        if len(words) > MAX_STOPS:
            raise InvalidData(
                "chat.too_many_stops", given=len(words), limit=MAX_STOPS, param="stop"
            )
        for place, word in enumerate(words):
            if not 0 < len(word) <= MAX_STOP:
                where = "stop" if isinstance(value, str) else f"stop[{place}]"
                raise InvalidData("chat.bad_stop", given=len(word), limit=MAX_STOP, param=where)
        if words:
            self.options["stop"] = list(dict.fromkeys(words))

    def choices(self, value: int | None) -> int:
        """How many answers to each prompt."""
        in_range("n", value)
        if value is not None and value > 1:
            self.options["n"] = value
        return value or 1

    def form(self, value: Mapping[str, Any] | None, param: str = "response_format") -> None:
        """OpenAI's ``response_format``. Raises `InvalidData`, also for what the schema says."""
        if value is None or value == {"type": "text"}:
            return
        kind = value.get("type")
        self.names["response_format"] = param
        if kind == "json_object" and set(value) == {"type"}:
            self.options["response_format"] = {"type": kind}
            self._schemas["form"] = None
            return
        told = value.get("json_schema")
        if kind != "json_schema" or not isinstance(told, Mapping) or set(value) - {"type", kind}:
            raise InvalidData("chat.bad_format", given=str(kind)[:40], param=param)
        where = f"{param}.json_schema"
        _named(told, where, {"name", "schema", "strict", "description"})
        schema = told.get("schema")
        if schema is None:
            raise InvalidData("api.missing_field", name="schema", param=f"{where}.schema")
        check_schema(schema, f"{where}.schema")
        self.options["response_format"] = {"type": kind, "json_schema": dict(told)}
        self._schemas["form"] = schema

    def tools(
        self,
        tools: Sequence[Mapping[str, Any]] | None,
        choice: str | Mapping[str, Any] | None,
        parallel: bool | None,
    ) -> None:
        """OpenAI's ``tools``, ``tool_choice``, ``parallel_tool_calls``. Raises `InvalidData`."""
        if not tools:
            ignored("tool_choice", choice, ("none", "auto"))
            return
        if len(tools) > MAX_TOOLS:
            raise InvalidData(
                "chat.too_many_tools", given=len(tools), limit=MAX_TOOLS, param="tools"
            )
        names = []
        for place, one in enumerate(tools):
            where = f"tools[{place}]"
            function = one.get("function")
            if one.get("type") != "function" or not isinstance(function, Mapping):
                raise InvalidData("chat.bad_tool", given=str(one.get("type"))[:40], param=where)
            where = f"{where}.function"
            _named(function, where, {"name", "description", "parameters", "strict"})
            if function.get("parameters") is not None:
                check_schema(function["parameters"], f"{where}.parameters")
            if function.get("strict"):
                self._strict[function["name"]] = function.get("parameters")
            names.append(function["name"])
        if len(set(names)) < len(names):
            raise InvalidData("chat.tool_twice", param="tools")
        self.options["tools"] = [dict(one) for one in tools]
        if choice is not None:
            self.options["tool_choice"] = _choice(choice, names)
        if parallel is not None:
            self.options["parallel_tool_calls"] = parallel

    def honoured(self, served: Served) -> dict[str, Any]:
        """The options, every one of which `served` honours. Raises `UsageError` naming the first
        that it does not."""
        options = self.options
        for name in options:
            if name in _BY_ALL or name in served.options:
                continue
            if name in ("tool_choice", "parallel_tool_calls") and "tools" in options:
                continue
            raise UsageError(
                "chat.not_honoured",
                name=self.names.get(name, name),
                version=served.id,
                options=", ".join(sorted(served.options)) or "–",
                param=self.names.get(name, name),
            )
        if "response_format" in options and "response_format" not in served.options:
            # Checked, not constrained: the engine need not know.
            return {name: value for name, value in options.items() if name != "response_format"}
        return options

    @property
    def checks(self) -> bool:
        """Whether an answer is looked at as a whole before any of it leaves."""
        return bool(self._schemas) or self._must_call

    @property
    def _must_call(self) -> bool:
        return self.options.get("tool_choice", "auto") not in ("auto", "none")

    def check(self, output: Output, text: str) -> None:
        """Raises `BadAnswer` for an answer with this `text` that is not what was asked for."""
        calls = output.get("tool_calls", ())
        for call in calls:
            self.check_call(call)
        if self._must_call and not calls:
            raise BadAnswer("chat.no_call")
        chosen = self.options.get("tool_choice")
        if isinstance(chosen, Mapping):
            name = chosen["function"]["name"]
            if any(one["function"]["name"] != name for one in calls):
                raise BadAnswer("chat.no_call")
        if "form" in self._schemas and not calls:
            where = mismatched(text, self._schemas["form"])
            if where is not None:
                cut = output.get("finish_reason") == "length"
                raise BadAnswer("chat.unfit_cut" if cut else "chat.unfit", where=where[:200])

    def check_left(self, outputs: Sequence[Output], text: Callable[[Output], str]) -> None:
        """The same for what a guard has left of answers, but for those that it stopped."""
        for output in outputs if self.checks else ():
            if output.get("finish_reason") != "content_filter":
                self.check(output, text(output))

    def check_call(self, call: Mapping[str, Any]) -> None:
        """Raises `BadAnswer` for arguments that do not fit the schema of a strict tool."""
        name, schema = call["function"]["name"], None
        if name in self._strict:
            schema = self._strict[name]
            where = mismatched(call["function"]["arguments"], schema)
            if where is not None:
                raise BadAnswer("chat.unfit_call", name=name, where=where[:200])


_BY_ALL = frozenset({"max_tokens", "stop", "n", "response_format"})
"""What is done for all engines: by `engines._streaming`, and here."""


def _named(value: Mapping[str, Any], where: str, known: set[str]) -> None:
    """Raises `InvalidData` unless `value` has a name that can be one, and nothing unknown."""
    for field_ in value:
        if field_ not in known:
            told = str(field_)[:80]
            raise InvalidData("api.unknown_field", name=told, param=f"{where}.{told}")
    name = value.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidData("chat.bad_name", given=str(name)[:80], param=f"{where}.name")


def _choice(choice: str | Mapping[str, Any], names: Sequence[str]) -> str | dict[str, Any]:
    if isinstance(choice, str):
        if choice in ("none", "auto", "required"):
            return choice
    elif choice.get("type") == "function":
        function = choice.get("function")
        if isinstance(function, Mapping) and function.get("name") in names:
            return dict(choice)
    raise InvalidData("chat.bad_choice", options=", ".join(names[:20]), param="tool_choice")
