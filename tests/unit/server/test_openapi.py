"""The description of the API holds: schemathesis sends what it allows and what it does not, as every role."""

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.unit.registry.conftest import APPROVED

from stannary.registry import promotion
from stannary.registry.names import Name
from stannary.server.api import OPERATIONS
from stannary.server.app import build

CHECKS = (not_a_server_error, response_schema_conformance, status_code_conformance, content_type_conformance)
STREAMED = {"storeContent"}  # any bytes at all: tests of its own


@pytest.fixture
def described(bench, site):
    promotion.protect(bench.opened[0], Name("default", "claims"), "production", APPROVED)
    for content in (b"one", b"two"):
        bench.say(bench.push(content))
    promotion.promote(bench.opened[0], Name("default", "claims"), 1, "production")
    return schemathesis.openapi.from_asgi("/api/v1/openapi.json", build(site))


def test_the_description_is_openapi_and_names_every_operation(described):
    described.validate()
    found = {item.ok().definition.raw["operationId"] for item in described.get_all_operations()}
    assert found | {"openapi"} == {row.id for row in OPERATIONS}  # schemathesis leaves out the one it read


@pytest.mark.parametrize("role", ["releaser", "admin", "contributor", "auditor"])
def test_every_operation_answers_as_it_says(described, role):
    for item in described.get_all_operations():
        operation = item.ok()
        if operation.definition.raw["operationId"] in STREAMED:
            continue
        strategy = operation.as_strategy()

        @settings(
            max_examples=15, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=strategy)
        def attempt(case):
            case.headers = {**dict(case.headers or {}), "authorization": f"Bearer {role}"}
            response = case.call()
            case.validate_response(response, checks=CHECKS)
            assert "traceback" not in response.text.lower()

        attempt()


def test_what_is_described_is_written_nowhere_else(described):
    """Every struct that is sent refuses what it does not know; every error has the shape of a problem."""
    document = described.raw_schema
    for path, methods in document["paths"].items():
        for method, row in methods.items():
            for status, answer in row["responses"].items():
                if int(status) >= 400:
                    schema = answer["content"]["application/problem+json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/Problem"}, (path, method, status)
            if "requestBody" in row and "application/json" in row["requestBody"]["content"]:
                reference = row["requestBody"]["content"]["application/json"]["schema"]["$ref"]
                assert document["components"]["schemas"][reference.rsplit("/", 1)[1]]["additionalProperties"] is False
    json.dumps(document)
