"""`ProfilingMiddleware` for a Flask app object: the WSGI middleware, put where Flask wants it.

    ProfilingMiddleware(app)

Does what `app.wsgi_app = wsgi.ProfilingMiddleware(app.wsgi_app)` does, and learns the route before the view runs, so
that requests whose exception leaves the app (`PROPAGATE_EXCEPTIONS`, a worker's timeout) are named, too.
"""

import importlib
from typing import Any

from chronoprof_sidecar.client import wsgi
from chronoprof_sidecar.client.exchange import RequestProfiler, lend_template


class ProfilingMiddleware(wsgi.ProfilingMiddleware):
    """Times every request of a Flask app; installs itself as the app's `wsgi_app`."""

    def __init__(self, app: Any, *, profiler: RequestProfiler | None = None) -> None:
        super().__init__(app.wsgi_app, profiler=profiler)
        flask = importlib.import_module("flask")

        def lend_rule() -> None:
            request = flask.request
            rule = request.url_rule
            lend_template(request.environ, None if rule is None else rule.rule)

        # In front of the app's own hooks: one that fails must not keep this one from running.
        app.before_request_funcs.setdefault(None, []).insert(0, lend_rule)
        app.wsgi_app = self
