"""The part of MLflow's REST API that an unmodified `mlflow` client registers, resolves and loads by (`/api/2.0`).

What belongs here: MLflow's words for what the registry does anyway. What does not: any way around the registry. An alias
(or a stage: `Staging` and `Production` are the aliases of those names) moves by the policy of that alias or not at all;
the client sees a denial as an error with the reasons. Runs and experiments are not here: tracking stays where it is.

MLflow's names have no namespace: `fraud` is that of the default one, `team~fraud` is `team/fraud`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stannary.server.dispatch import endpoint_of
from stannary.server.mlflow import artifacts, models, versions
from stannary.server.mlflow.errors import as_mlflow
from stannary.server.operations import Operation
from stannary.server.site import Site

__all__ = ["OPERATIONS", "routes_of"]

OPERATIONS: tuple[Operation, ...] = (*models.OPERATIONS, *versions.OPERATIONS, *artifacts.OPERATIONS)


def routes_of(site: Site) -> list[Route]:
    """Return the routes below `/api/2.0`."""
    return [Route(row.path, _told(endpoint_of(site, row)), methods=[row.method], name=row.id) for row in OPERATIONS]


def _told(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def answered(request: Request) -> Response:
        return as_mlflow(await endpoint(request))

    return answered
