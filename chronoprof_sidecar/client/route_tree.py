"""The routes below one Starlette or FastAPI router, each with the template that leads to it.

Routing puts the *values* of a mount's parameters into `root_path`; what the mount looks like in the code stays in the
tree of routes alone. So the tree is read once, and a matched route or endpoint looked up by identity: no raw path can
get into a name. Reads the tree by the attributes that its nodes share, imports no framework, and must not know what a
request is.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

CATCH_ALL: Final = "/{path:path}"
"""What a mount adds to its own path, in Starlette's notation."""

_MAX_LAYERS: Final = 64
"""Of middlewares around a mounted app, and of mounts in mounts: a tree that is deeper is a cycle."""


class Place(NamedTuple):
    """Where a route hangs in the tree."""

    prefix: str
    """Templates of the mounts around it."""
    path: str | None
    """Its own template; None for a mounted router, which matches only what it passes on."""
    patterns: tuple[re.Pattern[str], ...]
    """What its mounts and it match, outermost first; each mount's names the rest of the path `path`."""

    def matches(self, path: str) -> bool:
        """Say whether routing `path`, relative to the root router, can lead here."""
        for pattern in self.patterns:
            match = pattern.match(path)
            if match is None:
                return False
            path = f"/{match.groupdict().get('path', '')}"
        return True


class RouteTree:
    """An index of a router's tree by the identity of routes and endpoints; reads the tree anew for one it misses."""

    def __init__(self, router: object) -> None:
        self._router = router
        self._places: dict[int, list[Place]] = {}
        # Holds what the index is keyed by, so that no identity is used twice while it is in there.
        self._held: list[object] = []
        self._read()

    def find(self, target: object, path: str) -> Place | None:
        """Return the place of a route or endpoint that routing `path` led to, None where the tree does not have it.

        `path` is relative to the router, and read only where `target` hangs in several places.
        """
        places = self._places.get(id(target))
        if places is None:
            self._read()
            places = self._places.get(id(target))
            if places is None:
                # Behind an app that does not show its routes. Remembered, or each request would read the tree.
                places = []
                self._hold(target, places)
        if len(places) == 1:
            return places[0]
        return next((place for place in places if place.matches(path)), None)

    def _read(self) -> None:
        self._places, self._held = {}, [self._router]
        for target, place in _below(_routes_of(self._router) or (), "", (), 0):
            places = self._places.get(id(target))
            if places is None:
                self._hold(target, [place])
            elif all(place[:2] != known[:2] for known in places):
                places.append(place)

    def _hold(self, target: object, places: list[Place]) -> None:
        self._held.append(target)
        self._places[id(target)] = places


def _routes_of(app: Any) -> Iterable[Any] | None:
    """Return the routes of an app or router, looking through middlewares that keep what they wrap as `app`."""
    for _ in range(_MAX_LAYERS):
        routes = getattr(app, "routes", None)
        if isinstance(routes, list | tuple):
            return routes
        app = getattr(app, "app", None)
        if app is None:
            return None
    return None


def _below(
    routes: Iterable[Any], prefix: str, patterns: tuple[re.Pattern[str], ...], depth: int
) -> Iterator[tuple[object, Place]]:
    """Yield every route and endpoint under `routes`, in the order in which routing tries them."""
    if depth > _MAX_LAYERS:
        return
    for route in routes:
        if hasattr(route, "effective_candidates"):  # FastAPI: a router that another one includes
            yield from _below(route.effective_candidates(), prefix, patterns, depth + 1)
        elif getattr(route, "starlette_route", None) is not None:  # FastAPI: what it included, under its new prefix
            yield from _below((route.starlette_route,), prefix, patterns, depth + 1)
        elif hasattr(route, "routes"):
            yield from _below_mount(route, prefix, patterns, depth)
        else:
            own = getattr(route, "path_regex", None)
            place = Place(prefix, getattr(route, "path", None), patterns if own is None else (*patterns, own))
            # FastAPI matches an included route of its own by a context that stands for it.
            yield getattr(route, "original_route", route), place
            if getattr(route, "endpoint", None) is not None:
                yield route.endpoint, place


def _below_mount(
    mount: Any, prefix: str, patterns: tuple[re.Pattern[str], ...], depth: int
) -> Iterator[tuple[object, Place]]:
    """Yield a mount or a host, the app that it passes requests on to, and what is below that."""
    app = getattr(mount, "app", None)
    path, own = getattr(mount, "path", None), getattr(mount, "path_regex", None)
    if path is not None and own is not None:  # a host has neither: it matches no part of the path
        prefix, patterns = prefix + path, (*patterns, own)
    routes = _routes_of(app)
    place = Place(prefix, CATCH_ALL if routes is None else None, patterns)
    yield mount, place
    yield app, place
    if routes is not None:
        yield from _below(routes, prefix, patterns, depth + 1)
