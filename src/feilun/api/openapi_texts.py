"""Shapes of the bodies and answers of OpenAI's routes for texts, in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from feilun import messages
from feilun.api.options import MAX_ALTERNATIVES, MAX_CHOICES, MAX_STOP, MAX_STOPS, MAX_TOOLS

__all__ = ["TEXT_ANSWERS", "text_bodies"]

_INTEGER: dict[str, Any] = {"type": "integer"}
_TEXT: dict[str, Any] = {"type": "string"}
_OBJECT: dict[str, Any] = {"type": "object"}
_NULL: dict[str, Any] = {"type": "null"}
_USAGE = {
    "type": "object",
    "properties": {
        "prompt_tokens": _INTEGER,
        "completion_tokens": _INTEGER,
        "total_tokens": _INTEGER,
        "prompt_tokens_details": {"type": "object", "properties": {"cached_tokens": _INTEGER}},
    },
}
_SURE = {
    "score": {"type": "number", "minimum": 0, "maximum": 1},
    "abstained": {"type": "boolean"},
}


def _completion(kind: str, choice: dict[str, Any], reasons: list[str]) -> dict[str, Any]:
    shape = {
        "index": _INTEGER,
        **choice,
        "logprobs": {"type": ["object", "null"]},
        "finish_reason": {"enum": reasons},
        **_SURE,
    }
    return {
        "type": "object",
        "properties": {
            "id": _TEXT,
            "object": {"const": kind},
            "created": _INTEGER,
            "model": {"type": "string", "examples": ["shop@3"]},
            "choices": {"type": "array", "items": {"type": "object", "properties": shape}},
            "usage": _USAGE,
        },
    }


_MESSAGE = {
    "type": "object",
    "properties": {
        "role": {"const": "assistant"},
        "content": {"type": ["string", "null"]},
        "tool_calls": {"type": "array", "items": _OBJECT},
    },
}
_RESPONSE = {
    "type": "object",
    "properties": {
        "id": _TEXT,
        "object": {"const": "response"},
        "created_at": _INTEGER,
        "status": {"enum": ["completed", "incomplete"]},
        "model": {"type": "string", "examples": ["shop@3"]},
        "output": {"type": "array", "items": _OBJECT},
        "usage": {
            "type": "object",
            "properties": {
                "input_tokens": _INTEGER,
                "input_tokens_details": _OBJECT,
                "output_tokens": _INTEGER,
                "output_tokens_details": _OBJECT,
                "total_tokens": _INTEGER,
            },
        },
        **_SURE,
    },
}
TEXT_ANSWERS: dict[tuple[str, str], dict[str, Any]] = {
    ("/v1/chat/completions", "post"): _completion(
        "chat.completion", {"message": _MESSAGE}, ["stop", "length", "tool_calls", "content_filter"]
    ),
    ("/v1/completions", "post"): _completion(
        "text_completion", {"text": _TEXT}, ["stop", "length", "content_filter"]
    ),
    ("/v1/responses", "post"): _RESPONSE,
}


def text_bodies(lang: messages.Language, example: Any) -> dict[str, Any]:
    """The schemas of the three bodies by their names."""
    limit = {
        "type": ["integer", "null"],
        "minimum": 1,
        "maximum": 1_000_000,
        "description": messages.t("api.schema_max_tokens", lang),
    }
    shared: dict[str, Any] = {
        "model": {"type": ["string", "null"], "description": messages.t("api.schema_model", lang)},
        "stream": {
            "type": ["boolean", "null"],
            "description": messages.t("api.schema_stream", lang),
        },
        "stream_options": {
            "type": ["object", "null"],
            "additionalProperties": False,
            "properties": {
                "include_usage": {"type": ["boolean", "null"]},
                "include_obfuscation": {"type": ["boolean", "null"]},
            },
        },
        "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
        "top_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "user": {"type": ["string", "null"]},
    }
    word = {"type": "string", "minLength": 1, "maxLength": MAX_STOP}
    penalty = {"type": ["number", "null"], "minimum": -2, "maximum": 2}
    written = {
        "stop": {
            "anyOf": [word, {"type": "array", "maxItems": MAX_STOPS, "items": word}, _NULL],
            "description": messages.t("api.schema_stop", lang),
        },
        "n": {"type": ["integer", "null"], "minimum": 1, "maximum": MAX_CHOICES},
        "seed": {"type": ["integer", "null"]},
        "frequency_penalty": penalty,
        "presence_penalty": penalty,
        "logit_bias": {"type": ["object", "null"], "maxProperties": 0},
    }
    alternatives = {"type": ["integer", "null"], "minimum": 0, "maximum": MAX_ALTERNATIVES}
    tools = {
        "tools": {"type": ["array", "null"], "maxItems": MAX_TOOLS, "items": _OBJECT},
        "tool_choice": {"anyOf": [_TEXT, _OBJECT, _NULL]},
        "parallel_tool_calls": {"type": ["boolean", "null"]},
    }
    unkept = {
        "metadata": {"type": ["object", "null"], "additionalProperties": _TEXT},
        "store": {"enum": [False, None]},
        "service_tier": {"enum": ["auto", "default", None]},
        "safety_identifier": {"type": ["string", "null"]},
        "prompt_cache_key": {"type": ["string", "null"]},
    }
    form = {
        "type": ["object", "null"],
        "description": messages.t("api.schema_response_format", lang),
    }
    chat = {
        "messages": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1000,
            "description": messages.t("api.schema_messages", lang),
            "items": _message(),
        },
        **shared,
        "max_tokens": limit,
        "max_completion_tokens": limit,
        **written,
        "logprobs": {"type": ["boolean", "null"]},
        "top_logprobs": alternatives,
        "response_format": form,
        **tools,
        **unkept,
        "modalities": {"enum": [["text"], None]},
    }
    completion = {
        "prompt": {"anyOf": [_TEXT, {"type": "array", "minItems": 1, "items": _TEXT}]},
        **shared,
        "max_tokens": limit,
        **written,
        "logprobs": alternatives,
        "best_of": {"type": ["integer", "null"]},
        "echo": {"enum": [False, None]},
        "suffix": {"enum": ["", None]},
    }
    response = {
        "input": {"anyOf": [_TEXT, {"type": "array", "minItems": 1, "items": _OBJECT}]},
        "instructions": {"type": ["string", "null"]},
        **shared,
        "max_output_tokens": limit,
        "text": {"type": ["object", "null"], "properties": {"format": form}},
        **tools,
        "top_logprobs": alternatives,
        "include": {"type": ["array", "null"], "items": _TEXT},
        **unkept,
        "truncation": {"enum": ["disabled", None]},
        "background": {"enum": [False, None]},
    }
    said = [{"role": "user", "content": example}]
    return {
        "ChatBody": _body("messages", chat, said),
        "CompletionBody": _body("prompt", completion, example),
        "ResponsesBody": _body("input", response, example),
    }


def _message() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["role"],
        "properties": {
            "role": {"enum": ["system", "developer", "user", "assistant", "tool"]},
            "content": {"anyOf": [_TEXT, {"type": "array", "items": _OBJECT}, _NULL]},
            "tool_calls": {"type": "array", "items": _OBJECT},
            "tool_call_id": _TEXT,
        },
    }


def _body(first: str, properties: dict[str, Any], example: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": [first],
        "additionalProperties": False,
        "properties": properties,
        "examples": [{"model": "shop", first: example}],
    }
