"""Settings that time less, from the environment of an app to the answer of the sidecar."""

from tests.hosts.script import Script
from tests.process.sidecar import Sidecar
from tests.proof import Proof

CALLS = 20_000
EVERY = 5
FAR_OFF = 6 * EVERY * (CALLS * (1 / EVERY) * (1 - 1 / EVERY)) ** 0.5
"""Six standard deviations of a count of samples, each of which stands for five calls: never missed by chance."""


def test_sampled_and_excluded(sidecar: Sidecar, script: Script, proof: Proof) -> None:
    """Counts of sampled functions are unbiased and said to be estimates; excluded names are nowhere."""
    script.run(
        f"""
        from flask import Flask
        from chronoprof_sidecar.client import profiler
        from chronoprof_sidecar.client.wsgi import ProfilingMiddleware

        @profiler.timed("some")
        def some(number):
            return number

        @profiler.timed("every", sample_every=1)
        def every(number):
            if number % 2:
                raise ValueError

        app = Flask("app")
        app.add_url_rule("/health/live", view_func=lambda: "ok")
        app.wsgi_app = ProfilingMiddleware(app.wsgi_app)
        client = app.test_client()
        for number in range({CALLS}):
            some(number)
            try:
                every(number)
            except ValueError:
                pass
            if number % 1000 == 0:
                client.get("/health/live")
        """,
        CHRONOPROF_SAMPLE_EVERY=str(EVERY),
        CHRONOPROF_EXCLUDE="GET /health/*",
    )
    _, answer = sidecar.request("GET", "/api/v1/profiling/data")
    rows, meta = answer["data"], answer["meta"]
    assert {"some", "every"} == set(rows)
    assert (CALLS, CALLS // 2) == (rows["every"]["calls"], rows["every"]["errors"])
    assert abs(rows["some"]["calls"] - CALLS) < FAR_OFF
    assert 0 == rows["some"]["calls"] % EVERY
    assert (True, True) == (meta["sampled"], meta["complete"])
    proof.reached(f"one call in {EVERY} of {CALLS:,}: counted", f"{rows['some']['calls']:,}")
