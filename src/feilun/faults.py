"""What pydantic found wrong with settings and bodies, in words: where, what was given, what is
allowed."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from feilun.messages import t

__all__ = ["describe_faults"]

_TYPE = re.compile(
    r"none|bool|int|float|str|constrained-\w+|function-.*|(list|literal|tuple|dict)\[.*\]"
)


def describe_faults(error: ValidationError, prefix: str = "", upper: bool = False) -> list[str]:
    """One line for each fault of a pydantic error: where, what was given, what is allowed. What a
    field of several types does not take is one fault, with all that is allowed."""
    found: dict[str, list[str]] = {}
    for fault in error.errors(include_url=False):
        where = ".".join(str(part) for part in fault["loc"] if not _is_type(part))
        where = prefix + (where.upper() if upper else where)
        given = "" if fault["type"] == "missing" else f" ({fault['input']!r})"
        found.setdefault(f"{where}{given}", []).append(_rule(fault))
    joint = t("config.rule_or")
    return [f"{where}: {joint.join(dict.fromkeys(rules))}" for where, rules in found.items()]


def _is_type(part: int | str) -> bool:
    """Whether a part of a fault's place is the type, of several, that was tried there."""
    return isinstance(part, str) and _TYPE.fullmatch(part) is not None


def _rule(fault: Any) -> str:
    """What is allowed, in the language in force; pydantic itself speaks English alone."""
    if fault["type"] == "value_error":  # raised by a section itself, in the language in force
        return str(fault["ctx"]["error"])
    key = _RULES.get(fault["type"])
    if key is None:
        return str(fault["msg"])
    return t(key, **fault.get("ctx", {}))


_RULES = {
    "missing": "config.rule_missing",
    "extra_forbidden": "config.rule_unknown",
    "greater_than": "config.rule_gt",
    "greater_than_equal": "config.rule_ge",
    "less_than": "config.rule_lt",
    "less_than_equal": "config.rule_le",
    "literal_error": "config.rule_literal",
    "string_pattern_mismatch": "config.rule_pattern",
    "int_parsing": "config.rule_int",
    "int_from_float": "config.rule_int",
    "int_type": "config.rule_int",
    "float_parsing": "config.rule_number",
    "float_type": "config.rule_number",
    "bool_parsing": "config.rule_bool",
    "bool_type": "config.rule_bool",
    "string_type": "config.rule_text",
    "dict_type": "config.rule_table",
    "model_type": "config.rule_table",
    "tuple_type": "config.rule_list",
}
