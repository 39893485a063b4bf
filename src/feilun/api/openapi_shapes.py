"""Shapes of bodies and answers in the OpenAPI document that FastAPI cannot know."""

from __future__ import annotations

from typing import Any

from feilun import messages
from feilun.api.openapi_texts import TEXT_ANSWERS, text_bodies
from feilun.serving.limits import MAX_EXPLAINED, MAX_FOUND, MAX_RERANKED, MAX_TEXT

__all__ = ["ANSWERS", "BODIES", "bodies"]

BODIES = {
    "/v1/predict": "PredictBody",
    "/v1/embeddings": "EmbeddingsBody",
    "/v1/rerank": "RerankBody",
    "/v1/search": "SearchBody",
    "/v1/chat/completions": "ChatBody",
    "/v1/completions": "CompletionBody",
    "/v1/responses": "ResponsesBody",
    "/v2/models/{model}/infer": "InferBody",
    "/v2/models/{model}/versions/{version}/infer": "InferBody",
}
"""The schemas of the bodies that the middleware reads itself, by path."""

_TENSOR = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"type": "string", "examples": ["BYTES"]},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "parameters": {"type": "object"},
        "data": {"type": "array"},
    },
}
_TENSORS = {
    "type": "object",
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string", "examples": ["3"]},
        "id": {"type": "string"},
        "parameters": {
            "type": "object",
            "properties": {"prediction_id": {"type": "string"}},
        },
        "outputs": {"type": "array", "items": _TENSOR},
    },
}
_MODEL = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": {"type": "string"},
        "version": {"type": "string", "examples": ["reviews@3"]},
        "task": {"type": "string"},
        "labels": {"type": "array", "items": {"type": "string"}},
        "max_inputs": {"type": "integer"},
        "embeddings": {"type": "boolean"},
        "search": {"type": "boolean"},
    },
}


def _results(more: dict[str, Any], documents: bool = False) -> dict[str, Any]:
    """The answer of a search or a rerank."""
    counts = ["inputs", "tokens", "total_tokens", *(["documents"] if documents else [])]
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "model": {"type": "string", "examples": ["faq@3"]},
            "results": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        **more,
                        "relevance_score": {"type": "number"},
                        "document": {"type": "object", "properties": {"text": {"type": "string"}}},
                    },
                    "required": ["relevance_score", *more],
                },
            },
            "usage": {
                "type": "object",
                "properties": {name: {"type": "integer"} for name in counts},
            },
        },
    }


ANSWERS: dict[tuple[str, str], dict[str, Any]] = {
    ("/v1/predict", "post"): {"$ref": "#/components/schemas/Answer"},
    **TEXT_ANSWERS,
    ("/v1/embeddings", "post"): {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "object": {"const": "list"},
            "model": {"type": "string", "examples": ["reviews@3"]},
            "data": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "object": {"const": "embedding"},
                        "index": {"type": "integer"},
                        "embedding": {
                            "anyOf": [
                                {"type": "array", "items": {"type": "number"}},
                                {"type": "string", "contentEncoding": "base64"},
                            ]
                        },
                    },
                },
            },
            "usage": {
                "type": "object",
                "properties": {
                    "prompt_tokens": {"type": "integer"},
                    "total_tokens": {"type": "integer"},
                },
            },
        },
    },
    ("/v1/rerank", "post"): _results({"index": {"type": "integer"}}, documents=True),
    ("/v1/search", "post"): _results({}),
    ("/v2/models/{model}/infer", "post"): _TENSORS,
    ("/v2/models/{model}/versions/{version}/infer", "post"): _TENSORS,
    ("/v1/feedback", "post"): {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "prediction_id": {"type": "string"},
            "index": {"type": "integer"},
            "label": {"type": ["string", "null"]},
            "rejected": {"type": ["string", "null"]},
            "note": {"type": "string"},
        },
    },
    ("/v1/models", "get"): {
        "type": "object",
        "properties": {"object": {"const": "list"}, "data": {"type": "array", "items": _MODEL}},
    },
    ("/v1/models/{model}", "get"): _MODEL,
    ("/v1/usage", "get"): {
        "type": "object",
        "properties": {
            "object": {"const": "usage"},
            "data": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "day": {"type": "string", "format": "date"},
                        "model": {"type": ["string", "null"]},
                        "calls": {"type": "integer"},
                        "inputs": {"type": "integer"},
                        "amount": {"type": "string", "examples": ["1.23"]},
                        "currency": {"type": "string", "examples": ["USD"]},
                    },
                },
            },
            "total": {"type": "array", "items": {"type": "object"}},
            "limits": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "of": {"enum": ["key", "customer"]},
                        "month": {"type": "string", "examples": ["2026-11"]},
                        "rate": {"type": "object"},
                        "concurrency": {"type": "integer"},
                        "inputs": {
                            "type": "object",
                            "properties": {
                                "limit": {"type": "integer"},
                                "used": {"type": "integer"},
                                "remaining": {"type": "integer"},
                            },
                        },
                        "balances": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "properties": {
                                    "currency": {"type": "string"},
                                    "remaining": {"type": "string", "examples": ["1.23"]},
                                },
                            },
                        },
                        "budgets": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "properties": {
                                    "currency": {"type": "string"},
                                    "limit": {"type": ["string", "null"]},
                                    "used": {"type": "string", "examples": ["1.23"]},
                                    "remaining": {"type": ["string", "null"]},
                                    "warn_at": {"type": ["string", "null"]},
                                },
                            },
                        },
                    },
                },
            },
        },
    },
    ("/v1/invoices", "get"): {
        "type": "object",
        "properties": {
            "object": {"const": "list"},
            "data": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "number": {"type": "string", "examples": ["2026-10-0001"]},
                        "month": {"type": "string", "examples": ["2026-10"]},
                        "total": {"type": "string", "examples": ["12.50"]},
                        "currency": {"type": "string", "examples": ["EUR"]},
                        "issued": {"type": "string", "format": "date"},
                        "due": {"type": ["string", "null"]},
                        "digest": {"type": "string"},
                    },
                },
            },
        },
    },
    ("/v1/invoices/{number}", "get"): {
        "type": "object",
        "properties": {
            "object": {"const": "invoice"},
            "digest": {"type": "string"},
            "number": {"type": "string", "examples": ["2026-10-0001"]},
            "month": {"type": "string"},
            "currency": {"type": "string"},
            "seller": {"type": "object"},
            "customer": {"type": "object"},
            "lines": {"type": "array", "items": {"type": "object"}},
            "net": {"type": "string"},
            "tax": {"type": ["object", "null"]},
            "rounding": {"type": ["object", "null"]},
            "total": {"type": "string", "examples": ["12.50"]},
        },
    },
}


def bodies(lang: messages.Language, inputs: list[Any], example: Any) -> dict[str, Any]:
    """The schemas that `BODIES` names: `inputs` are the forms that inputs may have."""

    def text(key: str, **more: Any) -> dict[str, Any]:
        return {"type": "string", "description": messages.t(key, lang), **more}

    return {
        "PredictBody": {
            "type": "object",
            "required": ["inputs"],
            "additionalProperties": False,
            "properties": {
                "model": text("api.schema_model") | {"type": ["string", "null"]},
                "inputs": {"anyOf": inputs},
                "all_scores": {
                    "type": "boolean",
                    "default": False,
                    "description": messages.t("api.schema_all_scores", lang),
                },
                "explain": {
                    "type": "boolean",
                    "default": False,
                    "description": messages.t("api.schema_explain", lang, limit=MAX_EXPLAINED),
                },
                "stream": {
                    "type": "boolean",
                    "default": False,
                    "description": messages.t("api.schema_stream", lang),
                },
            },
            "examples": [{"model": "reviews", "inputs": [example]}],
        },
        "EmbeddingsBody": {
            "type": "object",
            "required": ["input"],
            "additionalProperties": False,
            "properties": {
                "input": {
                    "anyOf": [
                        {"type": "string"},
                        {"type": "array", "minItems": 1, "items": {"type": "string"}},
                    ]
                },
                "model": text("api.schema_model") | {"type": ["string", "null"]},
                "encoding_format": {"enum": ["float", "base64"], "default": "float"},
                "dimensions": {"type": ["integer", "null"], "minimum": 1},
                "user": {"type": ["string", "null"]},
            },
            "examples": [{"model": "reviews", "input": [example]}],
        },
        "RerankBody": {
            "type": "object",
            "required": ["query", "documents"],
            "additionalProperties": False,
            "properties": {
                "model": text("api.schema_model") | {"type": ["string", "null"]},
                "query": text("api.schema_query", minLength=1, maxLength=MAX_TEXT),
                "documents": {
                    "description": messages.t("api.schema_documents", lang, limit=MAX_RERANKED),
                    "type": "array",
                    "minItems": 1,
                    "maxItems": MAX_RERANKED,
                    "items": {
                        "anyOf": [
                            {"type": "string"},
                            {
                                "type": "object",
                                "properties": {"text": {"type": "string"}},
                                "required": ["text"],
                                "additionalProperties": False,
                            },
                        ]
                    },
                },
                "top_n": {
                    "type": ["integer", "null"],
                    "minimum": 1,
                    "description": messages.t("api.schema_top_n", lang),
                },
                "return_documents": {
                    "type": "boolean",
                    "default": False,
                    "description": messages.t("api.schema_return_documents", lang),
                },
            },
        },
        "SearchBody": {
            "type": "object",
            "required": ["query"],
            "additionalProperties": False,
            "properties": {
                "model": text("api.schema_model") | {"type": ["string", "null"]},
                "query": text("api.schema_query", minLength=1, maxLength=MAX_TEXT),
                "k": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MAX_FOUND,
                    "default": 10,
                    "description": messages.t("api.schema_k", lang),
                },
            },
        },
        **text_bodies(lang, example),
        "InferBody": {
            "type": "object",
            "required": ["inputs"],
            "additionalProperties": False,
            "properties": {
                "id": {"type": ["string", "null"]},
                "parameters": {
                    "type": "object",
                    "properties": {
                        "all_scores": {"type": "boolean"},
                        "binary_data_output": {"type": "boolean"},
                    },
                },
                "inputs": {"type": "array", "minItems": 1, "items": _TENSOR},
                "outputs": {
                    "type": ["array", "null"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {
                            "name": {"type": "string"},
                            "parameters": {
                                "type": "object",
                                "properties": {"binary_data": {"type": "boolean"}},
                            },
                        },
                    },
                },
            },
        },
    }
