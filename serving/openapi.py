"""The OpenAPI document, derived from the request types themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from configs.qualification import LANES
from serving.api import Envelope, LeadRequest
from serving.contact.api import CheckRequest, SuppressionsRequest, TouchesRequest
from serving.handover.columns import DOES
from serving.handover.qualification import STATUSES

TITLES = {
    400: "Bad Request",
    403: "Forbidden",
    408: "Request Timeout",
    409: "Conflict",
    413: "Content Too Large",
    422: "Unprocessable Content",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_REFUSED_EARLIER = {401: "Unauthorized", 415: "Unsupported Media Type"}
_OBJECT: Mapping[str, Any] = {"type": "object"}
_TEXT: Mapping[str, Any] = {"type": ["string", "null"]}
# What an answer says besides what docs/reference.md describes in full; further keys may come.
_DECISION: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "lead_id": {"type": "string"},
        "qualification": {
            "type": "object",
            "required": ["status", "because", "lane", "next"],
            "properties": {
                "status": {"enum": list(STATUSES)},
                "lane": {"enum": list(LANES)},
                "because": {"type": "array", "items": {"type": "array"}},
                "next": {
                    "type": "object",
                    "properties": {
                        "do": {"enum": list(DOES)},
                        **dict.fromkeys(("queue", "team", "due_at", "says"), _TEXT),
                    },
                },
            },
        },
        "nurture": _OBJECT,
    },
}


def openapi_json() -> bytes:
    """The document of every path that takes a body."""
    kinds = [Envelope, SuppressionsRequest, CheckRequest, TouchesRequest, LeadRequest]
    references, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    components["Envelope"]["properties"]["leads"]["items"] = {"$ref": "#/components/schemas/LeadRequest"}
    decisions, rejected = {"decisions": {"type": "array", "items": _DECISION}}, _listed("rejected")
    recorded = {"recorded_at": {"type": "string", "format": "date-time"}, "audit_id": {"type": "string"}}
    paths = {
        "/v1/score": _operation(
            "Score leads and say what may be done next", references[0], _answer({**decisions, **rejected}), (200,)
        ),
        "/v1/suppressions": _operation(
            "Keep stops, or the lifting of stops; acknowledged when they are durable",
            references[1],
            _answer({**recorded, **_listed("suppressions"), **_listed("lifts")}),
            (200, 201),
        ),
        "/v1/permits/check": _operation(
            "Ask just before sending whether a permit may be used; a yes counts as a touch",
            references[2],
            _answer(
                {
                    "permitted": {"type": "boolean"},
                    "permit_id": {"type": "string"},
                    "audit_id": {"type": "string"},
                }
            ),
            (200,),
        ),
        "/v1/touches": _operation(
            "Report what was sent", references[3], _answer({**recorded, **_listed("touches")}), (200, 201)
        ),
    }
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Leadwell", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}},
        },
    }
    return msgspec.json.encode(document)


def _operation(summary: str, body: Any, answer: Any, statuses: tuple[int, ...]) -> dict[str, Any]:
    errors = {
        str(status): {"description": title, "content": {"application/problem+json": {"schema": _OBJECT}}}
        for status, title in {**_REFUSED_EARLIER, **TITLES}.items()
    }
    done = {
        str(status): {
            "description": "Created" if status == 201 else "OK",
            "content": {"application/json": {"schema": answer}},
        }
        for status in statuses
    }
    return {
        "post": {
            "summary": summary,
            "security": [{"key": []}],
            "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
            "responses": {**done, **errors},
        }
    }


def _answer(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": dict(properties)}


def _listed(name: str) -> dict[str, Any]:
    return {name: {"type": "array", "items": _OBJECT}}
