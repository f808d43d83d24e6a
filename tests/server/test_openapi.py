import json
from typing import Any

import pytest
from aiohttp.typedefs import Handler
from openapi_spec_validator import validate

from chronoprof_sidecar.domain.ordering import SORT_COLUMNS
from chronoprof_sidecar.server import comparing, history, plots, profiling, saves
from chronoprof_sidecar.server.app import ROUTES, Route
from chronoprof_sidecar.server.errors import STATUS
from chronoprof_sidecar.server.openapi import read_description
from tests.server.harness import Client

DESCRIPTION: dict[str, Any] = json.loads(read_description())
QUERIES: dict[Handler, tuple[str, ...]] = {
    comparing.get_compare: comparing.COMPARE_PARAMETERS,
    profiling.get_data: profiling.DATA_PARAMETERS,
    profiling.post_reset: profiling.RESET_PARAMETERS,
    history.get_history: history.HISTORY_PARAMETERS,
    plots.get_plot: plots.PLOT_PARAMETERS,
    saves.get_save: saves.WINDOW_PARAMETERS,
    saves.post_save: saves.SAVE_PARAMETERS,
    saves.post_rotate: saves.ROTATE_PARAMETERS,
}


def operation_of(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = DESCRIPTION["paths"][route.path][route.method.lower()]
    return operation


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


def test_description_is_valid() -> None:
    """The document is OpenAPI 3.1."""
    assert DESCRIPTION["openapi"].startswith("3.1.")
    validate(DESCRIPTION)


async def test_description_is_served(client: Client) -> None:
    """Whoever asks gets the document itself."""
    answer = await client.get("/openapi.json")
    assert await answer.json() == DESCRIPTION


def test_description_has_exactly_the_routes() -> None:
    """No route is left out of the description, and none is made up."""
    described = {(method.upper(), path) for path, operations in DESCRIPTION["paths"].items() for method in operations}
    assert {(route.method, route.path) for route in ROUTES} == described


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_description_has_the_query_parameters(route: Route) -> None:
    """Exactly the query parameters that a handler knows are described."""
    parameters = operation_of(route).get("parameters", [])
    described = [parameter["name"] for parameter in parameters if parameter["in"] == "query"]
    assert list(QUERIES.get(route.handler, ())) == described


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_description_says_who_may(route: Route) -> None:
    """An operation is described as open exactly where it is, and else names its role and its refusals."""
    operation = operation_of(route)
    if route.role is None:
        assert operation["security"] == []
    else:
        assert "security" not in operation
        assert f"a key of the role `{route.role}`" in operation["description"]
        assert {"400", "401", "403", "421", "429"} <= operation["responses"].keys()


def test_description_has_every_status() -> None:
    """Every status that an error can have is described somewhere."""
    described = {status for route in ROUTES for status in operation_of(route)["responses"]}
    assert {str(status) for status in STATUS.values()} | {"200", "204", "304", "500"} == described


def test_description_has_the_sort_columns() -> None:
    """The columns to sort by are those that rows have."""
    (sort,) = (each for each in operation_of(ROUTES[0])["parameters"] if each["name"] == "sort")
    assert sorted(SORT_COLUMNS) == sorted(sort["schema"]["enum"])
