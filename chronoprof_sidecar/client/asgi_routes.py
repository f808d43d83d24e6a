"""Where ASGI frameworks leave the template of the route that they matched.

Reads what Starlette, FastAPI and Litestar write into the scope, and asks Quart, which writes nothing there, to lend its
template. Imports no framework and records nothing.
"""

import sys
from collections.abc import MutableMapping
from typing import Any, Final

from chronoprof_sidecar.client.exchange import lend_template
from chronoprof_sidecar.client.route_tree import CATCH_ALL, RouteTree

Scope = MutableMapping[str, Any]

HIDDEN_MOUNT: Final = "/<mount>"
"""Stands for mounts that cannot be read: the app between them and the route does not show its routes."""

_MAX_TREES: Final = 64
"""Of routers behind one middleware; nearly always one."""


class TemplateReader:
    """Reads the matched template out of the scope of a request that was routed."""

    def __init__(self) -> None:
        self._trees: dict[int, tuple[object, RouteTree]] = {}

    def read(self, scope: Scope, lent: str | None = None) -> str | None:
        """Return the matched route in the framework's own notation, None where no route matched.

        `lent` is the template that the framework lent to the exchange, if any.
        """
        template = lent or (_litestar_template(scope) if "path_template" in scope else None)
        endpoint = scope.get("endpoint")
        if template:
            return template if endpoint is None else self._mount_of(scope, endpoint) + template
        if endpoint is None:
            return None
        # Starlette, which puts the matched route here, or FastAPI, which does so for routes of its own alone. A mount
        # may leave its own in place, so a route counts if the endpoint, which each match replaces, is its own.
        route = scope.get("route")
        if getattr(route, "endpoint", None) is not endpoint:
            place = self._tree(scope).find(endpoint, _routed_path(scope))
            return None if place is None or place.path is None else (place.prefix + place.path or "/")
        context: Any = scope["fastapi"].get("effective_route_context") if "fastapi" in scope else None
        included = context is not None and context.original_route is route
        path: str = context.path if included else getattr(route, "path", "")
        if "app_root_path" not in scope:  # no mount in between
            return path or "/"
        place = self._tree(scope).find(route, _routed_path(scope))
        return (HIDDEN_MOUNT if place is None else place.prefix) + path or "/"

    def _mount_of(self, scope: Scope, endpoint: object) -> str:
        """Return the mounts around an app of another framework, which Starlette passed the request on to."""
        place = self._tree(scope).find(endpoint, _routed_path(scope))
        return HIDDEN_MOUNT if place is None else place.prefix

    def _tree(self, scope: Scope) -> RouteTree:
        router = scope.get("router")
        known = self._trees.get(id(router))
        if known is None:
            if len(self._trees) >= _MAX_TREES:
                self._trees.clear()
            known = self._trees[id(router)] = (router, RouteTree(router))
        return known[1]


def _routed_path(scope: Scope) -> str:
    """Return the path that the outermost router saw; for matching alone, it must not get into a name."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("app_root_path", scope.get("root_path", "")))


def _litestar_template(scope: Scope) -> str | None:
    template: str | None = scope.get("path_template")
    if template or template is None:
        return template
    # An app that Litestar mounts: its route alone knows where.
    handler = scope["route_handler"]
    for route in scope["litestar_app"].routes:
        if getattr(route, "route_handler", None) is handler:
            path: str = route.path_format
            return path.rstrip("/") + CATCH_ALL
    return None


def ask_quart(app: object) -> None:
    """Let `app` lend its template to the exchange around it, if it is a Quart app or the `asgi_app` of one.

    Quart keeps the matched rule in its request context, which ends before the answer begins. The hook stands first, so
    that none that fails can keep it from running.
    """
    quart: Any = sys.modules.get("quart")
    owner: Any = getattr(app, "__self__", app)
    if quart is None or not isinstance(owner, quart.Quart):
        return

    async def lend_rule() -> None:
        request = quart.request
        rule = request.url_rule
        lend_template(request.scope, None if rule is None else rule.rule)

    owner.before_request_funcs.setdefault(None, []).insert(0, lend_rule)
