"""Which scopes each operation wants, in the OpenAPI document."""

from typing import Any, Final

from fastapi import FastAPI

from app.access.declaring import declared_routes

_KEY: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key, sms_ID_SECRET. The names at an operation are scopes: a key that has any of them may use it. "
    "A server without keys wants none.",
}


def describe_access(app: FastAPI, document: dict[str, Any]) -> None:
    """Add the security scheme, and to each operation who may use it."""
    document["components"]["securitySchemes"] = {"key": _KEY}
    for route in declared_routes(app):
        for method in route.methods:
            operation = document["paths"].get(route.path, {}).get(method.lower())
            if operation is None:
                continue  # a page, no part of the interface
            named = [{"key": [scope.value]} for scope in route.access.scopes] or [{"key": []}]
            operation["security"] = [] if route.access.is_open else [*named, {}]
