"""multiprocessing and what stands on it: children that end without `atexit`."""

import pytest

from tests.hosts.script import Script
from tests.process.sidecar import Sidecar

SCRIPT = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from chronoprof_sidecar.client import profiler

@profiler.timed("work")
def work(number):
    return number

def run_processes(context):
    children = [context.Process(target=work, args=(number,)) for number in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    return len(children)

def run_pool(context):
    pool = context.Pool(2, maxtasksperchild=20)
    assert list(range(100)) == pool.map(work, range(100), chunksize=5)
    pool.close()
    pool.join()
    return 100

def run_executor(context):
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        assert list(range(100)) == list(executor.map(work, range(100)))
    return 100

if __name__ == "__main__":
    profiler.record("parent", 0.1)
    print(HOW(multiprocessing.get_context("METHOD")))
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("how", ["run_processes", "run_pool", "run_executor"])
def test_multiprocessing(sidecar: Sidecar, script: Script, how: str, method: str) -> None:
    """Children of every kind ship all that they timed before they end, long before the next flush is due."""
    text = SCRIPT.replace("HOW", how).replace("METHOD", method)
    calls = int(script.run(text, CHRONOPROF_FLUSH_INTERVAL="60"))
    assert {"parent": 1, "work": calls} == sidecar.calls()
    assert {True} == {sender["final"] for sender in sidecar.senders()}
