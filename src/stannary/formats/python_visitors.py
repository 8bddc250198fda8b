"""Where Python source takes what the visitors of a page, or those who write to a bot, type or send.

A function that a framework calls for them gets their data as its arguments; what a request or a text field holds is theirs, too.
Data that is theirs has `VISITOR` among its origins.
"""

from __future__ import annotations

import ast
import re

from stannary.formats.python_values import Value

__all__ = ["VISITOR", "answers", "asks", "is_framework", "is_request", "is_served", "sent"]

VISITOR = "a visitor"
_FRAMEWORKS = re.compile(
    r"(?:gradio|flask|fastapi|starlette|quart|sanic|bottle|litestar|robyn|aiohttp\.web|dash|nicegui|chainlit|telebot|telegram\.ext"
    r"|aiogram|discord|slack_bolt|websockets|asyncio\.start_(?:unix_)?server)(?:[.(\[]|$)"
)
_REQUESTS = frozenset({"flask.request", "quart.request", "bottle.request"})
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
}
# The module's functions that servers call, and how many arguments they take.
_FUNCTIONS = {"input_fn": 2, "transform_fn": 4, "lambda_handler": 2, "handle": 2}
_METHODS = re.compile(r"do_[A-Z]+|handle|get|post|put|patch|delete|on_message|on_receive")


def is_framework(name: str) -> bool:
    """Tell whether a name is of a framework that calls functions which it is handed with what visitors send."""
    return _FRAMEWORKS.match(name) is not None


def is_request(name: str) -> bool:
    """Tell whether a name is the request that a framework keeps for whoever asks."""
    return name in _REQUESTS


def asks(name: str) -> bool:
    """Tell whether a call returns what a visitor typed or sent."""
    return _FIELDS.fullmatch(name) is not None


def answers(bases: list[str], value: Value) -> list[Value]:
    """Return the methods of a class that a server calls for each request. `bases`: the names of what the class derives from."""
    if value.scope is None:
        return []
    served = {_SERVED.get(base.rpartition(".")[2]) for base in (*bases, value.scope.label)}
    answering = any(_HANDLERS.fullmatch(base) for base in bases)
    found = []
    for name, member in value.scope.names.items():
        called = name in served or (answering and _METHODS.fullmatch(name))
        if called and isinstance(member.node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            instance, bound = Value("", frozenset({VISITOR}) if answering else frozenset()), member.copy()
            instance.owner, bound.owner = value, instance
            found.append(bound)
    return found


def is_served(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether a function of a module is one that a model server calls with a request."""
    return _FUNCTIONS.get(node.name) == len(node.args.args)


def sent(handler: Value) -> list[Value]:
    """Return the arguments that a handler is called with."""
    node = handler.node
    if node is None or isinstance(node, ast.ClassDef):
        return []
    count = len(node.args.posonlyargs) + len(node.args.args) - (1 if handler.owner is not None else 0)
    return [Value("", frozenset({VISITOR})) for _ in range(max(0, count))]
