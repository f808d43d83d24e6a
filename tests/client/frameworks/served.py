"""Apps and a task queue that real servers and workers import, timed by the default profiler of their process."""

import os

from celery import Celery
from django.core.asgi import get_asgi_application
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from chronoprof_sidecar.client.asgi import ProfilingMiddleware
from chronoprof_sidecar.client.celery import ProfilingMiddleware as CeleryMiddleware


async def answer(request: Request) -> Response:
    """Answer 200."""
    return PlainTextResponse("fine")


starlette = ProfilingMiddleware(Starlette(routes=[Mount("/shop/{tenant}", routes=[Route("/items/{n}", answer)])]))

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.client.frameworks.django_site"
django = ProfilingMiddleware(get_asgi_application())

QUEUE = os.environ.get("QUEUE_DIRECTORY", "")
queue = Celery("shop", broker="filesystem://", set_as_current=False)
queue.conf.broker_transport_options = {
    "data_folder_in": QUEUE,
    "data_folder_out": QUEUE,
    "control_folder": f"{QUEUE}-control",
    "polling_interval": 0.1,
}
CeleryMiddleware(queue)


def add(a: int, b: int) -> int:
    """Succeed."""
    return a + b


queue.task(name="shop.add", shared=False)(add)
