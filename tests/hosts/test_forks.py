"""Forks at the worst moment: while the flush thread folds, sends, or waits for an answer."""

import pytest

from tests.hosts.script import Script
from tests.process.sidecar import Sidecar, wait_until
from tests.proof import Proof
from tests.scale import scaled

FORKS = scaled(200, full=1000)

GEVENT = """
import warnings
warnings.simplefilter("ignore")
import gevent.monkey
gevent.monkey.patch_all()
"""


def test_forks_while_sending(sidecar: Sidecar, script: Script, proof: Proof) -> None:
    """Many forks of an app whose threads record and whose thread sends: no child hangs, no call counts twice."""
    recorded = script.run(
        f"""
        import os, threading
        from chronoprof_sidecar.client import profiler

        @profiler.timed("work")
        def work():
            pass

        calls = []
        ended = threading.Event()

        def work_on():
            mine = 0
            while not ended.wait(0.001):
                for _ in range(10):
                    work()
                mine += 10
            calls.append(mine)

        workers = [threading.Thread(target=work_on) for _ in range(2)]
        for worker in workers:
            worker.start()
        for _ in range({FORKS}):
            child = os.fork()
            if not child:
                work()
                os._exit(0 if profiler.close(60.0) else 1)
            assert os.waitpid(child, 0)[1] == 0
        ended.set()
        for worker in workers:
            worker.join()
        assert profiler.close(60.0)  # the exit would wait two seconds, which is little on a busy machine
        print(sum(calls))
        """,
        seconds=FORKS / 2,  # ten times what a busy machine took
        CHRONOPROF_FLUSH_INTERVAL="0.05",
    )
    assert {"work": int(recorded) + FORKS} == sidecar.calls()
    assert FORKS + 1 == len(sidecar.senders())
    assert {True} == {sender["final"] for sender in sidecar.senders()}
    proof.reached("forks without a deadlock or a double count", FORKS)


@pytest.mark.parametrize("host", ["", GEVENT], ids=["plain", "gevent"])
def test_a_fork_while_the_answer_is_due(sidecar: Sidecar, script: Script, host: str) -> None:
    """The batch that a parent has under way when it forks is the parent's alone, and so is what waits behind it."""
    if host:
        pytest.importorskip("gevent")
    with sidecar.frozen():
        script.start(
            host
            + """
import os, sys
from chronoprof_sidecar.client import profiler
profiler.record("parent", 0.1)
assert not profiler.flush(0.5)  # it is under way
profiler.record("waiting", 0.1)
assert not profiler.flush(0.2)
child = os.fork()
if not child:
    profiler.record("child", 0.1)
    sys.exit(0 if profiler.flush(60.0) else 1)
print("forked", flush=True)
assert os.waitpid(child, 0)[1] == 0
assert profiler.flush(60.0)
"""
        )
        assert "forked" == script.read_line()
    script.end()
    assert {"parent": 1, "waiting": 1, "child": 1} == sidecar.calls()


def test_a_flush_thread_that_dies_while_sending(sidecar: Sidecar, script: Script) -> None:
    """The thread that follows sends the batch of the one that died again, and the sidecar counts it once."""
    with sidecar.frozen():
        script.start("""
            import ctypes, logging, sys, threading
            from chronoprof_sidecar.client import profiler
            logging.disable()  # the thread's last words

            profiler.record("before", 0.1)
            assert not profiler.flush(0.5)  # it is under way
            (dying,) = set(sys._current_frames()) - {threading.get_ident()}
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(dying), ctypes.py_object(MemoryError))
            pause = threading.Event()
            while dying in sys._current_frames():
                pause.wait(0.01)
            profiler.record("after", 0.1)
            print("died", flush=True)
            while profiler.stats().acknowledged < 2:  # with the next thread, once one may start
                profiler.record("after", 0.1)
                pause.wait(0.01)
            print(profiler.stats().recorded)
            """)
        assert "died" == script.read_line()
    recorded = int(script.end())
    assert {"before": 1, "after": recorded - 1} == sidecar.calls()
    wait_until(lambda: [True] == [sender["final"] for sender in sidecar.senders()], "the farewell")
