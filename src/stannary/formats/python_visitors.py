"""Where Python source takes what the visitors of a page, or those who write to a bot, type or send.

A function that a framework calls for them gets their data as its arguments; what a request or a text field holds is theirs, too.
Data that is theirs has `VISITOR` among its origins.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from stannary.formats.python_values import Value

__all__ = ["VISITOR", "answers", "asks", "called_by", "is_framework", "is_request", "is_served", "sent"]

VISITOR = "a visitor"
_FRAMEWORKS = re.compile(
    r"(?:gradio|flask|fastapi|starlette|quart|sanic|bottle|litestar|robyn|aiohttp\.web|dash|nicegui|chainlit|telebot|telegram\.ext"
    r"|aiogram|discord|slack_bolt|websockets|bentoml|ray\.serve|mcp\.server|fastmcp|modal\.(?:web|fastapi)_endpoint|litestar|asyncio\.start_(?:unix_)?server)(?:[.(\[]|$)"
)
_REQUESTS = re.compile(
    r"(?:flask|quart|bottle)\.request|streamlit\.(?:query_params|session_state)|(?:panel\.widgets|nicegui\.ui)\.\w+\(\)\.value"
)
_FIELDS = re.compile(r"streamlit\..*?(?:text_input|text_area|chat_input|file_uploader|data_editor)")
_HANDLERS = re.compile(
    r"(?:http\.server\.\w*HTTPRequestHandler|socketserver\.\w*RequestHandler|tornado\.web\.RequestHandler"
    r"|tornado\.websocket\.WebSocketHandler|flask\.views\.MethodView|starlette\.endpoints\.HTTPEndpoint|aiohttp\.web\.View)"
)
# Model servers' own: the class or its base, and the method that is given the request.
_SERVED = {
    "EndpointHandler": "__call__",
    "TritonPythonModel": "execute",
    "BaseHandler": "preprocess",
    "BasePredictor": "predict",
    "PythonModel": "predict",
    "MLModel": "predict",
    "LitAPI": "predict",
    "kserve.Model": "predict",
}
_CALL_OF_GRPC = ["self", "request", "context"]
# The module's functions that servers call, and how many arguments they take.
_FUNCTIONS = {"input_fn": 2, "transform_fn": 4, "lambda_handler": 2, "handle": 2}
_METHODS = re.compile(r"do_[A-Z]+|handle|get|post|put|patch|delete|on_message|on_receive")


def is_framework(name: str) -> bool:
    """Tell whether a name is of a framework that calls functions which it is handed with what visitors send."""
    return _FRAMEWORKS.match(name) is not None


def is_request(name: str) -> bool:
    """Tell whether a name is the request that a framework keeps for whoever asks."""
    return _REQUESTS.fullmatch(name) is not None


def asks(name: str) -> bool:
    """Tell whether a call returns what a visitor typed or sent."""
    return _FIELDS.fullmatch(name) is not None


def answers(bases: list[str], value: Value) -> list[Value]:
    """Return the methods of a class that a server calls for each request. `bases`: the names of what the class derives from."""
    if value.scope is None:
        return []
    served = {_SERVED.get(base.rpartition(".")[2]) or _SERVED.get(base) for base in (*bases, value.scope.label)}
    answering = any(_HANDLERS.fullmatch(base) for base in bases)
    found = []
    for name, member in value.scope.names.items():
        if not isinstance(member.node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        remote = [a.arg for a in member.node.args.args] == _CALL_OF_GRPC
        if name in served or remote or (answering and _METHODS.fullmatch(name)):
            instance, bound = Value("", frozenset({VISITOR}) if answering else frozenset()), member.copy()
            instance.owner, bound.owner = value, instance
            found.append(bound)
    return found


def called_by(value: Value) -> list[Value]:
    """Return what a framework calls of a function, or of a class, that is decorated with a name of it."""
    if not isinstance(value.node, ast.ClassDef):
        return [value]
    found = value.scope.names.get("__call__") if value.scope is not None else None
    return [found] if found is not None and isinstance(found.node, (ast.FunctionDef, ast.AsyncFunctionDef)) else []


def is_served(node: ast.FunctionDef | ast.AsyncFunctionDef, names: Iterable[Value]) -> bool:
    """Tell whether a function of a module is one that a model server, or Django, calls with a request. `names`: what there is."""
    if node.args.args and node.args.args[0].arg == "request" and any(value.name.startswith("django.") for value in names):
        return True
    return _FUNCTIONS.get(node.name) == len(node.args.args)


def sent(handler: Value) -> list[Value]:
    """Return the arguments that a handler is called with."""
    node = handler.node
    if node is None or isinstance(node, ast.ClassDef):
        return []
    count = len(node.args.posonlyargs) + len(node.args.args) - (1 if handler.owner is not None else 0)
    return [Value("", frozenset({VISITOR})) for _ in range(max(0, count))]
