"""Real processes that fork, exit, hang and die; each script is an app with a profiler."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.client.scripted import DEADLINE_SECONDS, KEY, Gate, Reply, ScriptedSidecar, answer


def run(script: str, url: str, *, directory: Path, code: int = 0, **environ: str) -> str:
    """Run a script in a process of its own and return what it printed; its warnings are errors."""
    file = directory / "app.py"
    file.write_text(textwrap.dedent(script))
    done = subprocess.run(
        [sys.executable, "-W", "error", str(file)],
        env=os.environ
        | {
            "ENABLE_PROFILING": "1",
            "CHRONOPROF_URL": url,
            "CHRONOPROF_API_KEY": KEY,
            "CHRONOPROF_FLUSH_INTERVAL": "0.1",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        | environ,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert code == done.returncode, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def senders(sidecar: ScriptedSidecar) -> set[str]:
    return {request.body["client"]["id"] for request in sidecar.requests}


LAST_CALL = "import threading; threading.Thread(target=profiler.record, args=('a', 0.1)).start()"


@pytest.mark.parametrize(("ending", "calls", "code"), [("", 5, 0), ("raise SystemExit(3)", 5, 3), (LAST_CALL, 6, 0)])
def test_a_short_script_is_counted(
    sidecar: ScriptedSidecar, tmp_path: Path, ending: str, calls: int, code: int
) -> None:
    """A script that ends long before the first interval has all its calls counted, and says farewell."""
    run(
        f"""
        from chronoprof_sidecar.client import profiler
        for _ in range(5):
            profiler.record("a", 0.1)
        {ending}
        """,
        sidecar.url,
        directory=tmp_path,
        code=code,
        CHRONOPROF_FLUSH_INTERVAL="60",
    )

    assert ({"a": calls}, 1) == (sidecar.calls, sidecar.finals)


def test_an_unused_profiler_sends_nothing(sidecar: ScriptedSidecar, tmp_path: Path) -> None:
    """A process that times nothing starts no thread and sends nothing."""
    threads = run(
        """
        import threading
        from chronoprof_sidecar.client import profiler
        profiler.timed(print)
        print(threading.active_count(), profiler.enabled)
        """,
        sidecar.url,
        directory=tmp_path,
    )

    assert "1 True" == threads.strip()
    assert [] == sidecar.requests


def test_an_exit_does_not_wait_for_a_black_hole(sidecar: ScriptedSidecar, tmp_path: Path) -> None:
    """While the sidecar answers nothing, a process still ends when it should: two seconds are given to it."""
    gate = Gate()
    sidecar.script += [gate] * 9

    script = """
        import atexit, time
        from chronoprof_sidecar.client import profiler
        began = []
        atexit.register(lambda: print(time.monotonic() - began[0]))
        profiler.record("a", 0.1)
        atexit.register(lambda: began.append(time.monotonic()))
        """
    # Exit hooks run in reverse order: the last one marks the beginning, the profiler's is in between. It is registered
    # at the first use, so before the last and after the first.
    seconds = float(run(script, sidecar.url, directory=tmp_path))
    gate.opened.set()

    # Not an assertion on speed: the transport alone would wait for ten seconds.
    assert seconds < 8.0


def test_an_exit_does_not_wait_for_a_wrong_key(sidecar: ScriptedSidecar, tmp_path: Path) -> None:
    """A sidecar that refuses is not tried again at the exit."""
    sidecar.script += [answer(401)] * 9
    began = time.monotonic()
    run("from chronoprof_sidecar.client import profiler; profiler.record('a', 0.1)", sidecar.url, directory=tmp_path)

    assert 1 == len(sidecar.requests)
    assert time.monotonic() - began < DEADLINE_SECONDS


def test_forked_children_count_for_themselves(sidecar: ScriptedSidecar, tmp_path: Path) -> None:
    """A child sends its own calls under its own id, and nothing that its parent recorded before the fork."""
    run(
        """
        import os
        from chronoprof_sidecar.client import profiler

        @profiler.timed("timed")
        def work():
            pass

        for _ in range(100):
            work()
            profiler.record("recorded", 0.1)
        children = []
        for _ in range(5):
            child = os.fork()
            if not child:
                assert profiler.stats().recorded == 0
                for _ in range(10):
                    work()
                    with profiler.timer("block"):
                        profiler.record("recorded", 0.1)
                raise SystemExit(0)
            children.append(child)
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
        work()
        """,
        sidecar.url,
        directory=tmp_path,
    )

    assert {"timed": 151, "recorded": 150, "block": 50} == sidecar.calls
    assert (6, 6) == (len(senders(sidecar)), sidecar.finals)


def test_forks_in_the_middle_of_sending(sidecar: ScriptedSidecar, tmp_path: Path) -> None:
    """Hundreds of forks while the flush thread folds and sends: no child hangs, no call is lost or counted twice."""
    run(
        """
        import os
        from chronoprof_sidecar.client import profiler

        @profiler.timed("work")
        def work():
            pass

        for _ in range(300):
            for _ in range(50):
                work()
            child = os.fork()
            if not child:
                work()
                os._exit(0 if profiler.close(60.0) else 1)
            assert os.waitpid(child, 0)[1] == 0
        assert profiler.flush(60.0)  # the exit would wait two seconds, which is little on a busy machine
        """,
        sidecar.url,
        directory=tmp_path,
        CHRONOPROF_FLUSH_INTERVAL="0.05",
    )

    assert {"work": 300 * 51} == sidecar.calls
    assert 301 == len(senders(sidecar))


def test_a_fork_while_a_request_hangs(sidecar: ScriptedSidecar, tmp_path: Path) -> None:
    """A child that is forked while the parent's request waits for its answer leaves that request alone."""

    def hold(holding: ScriptedSidecar, body: bytes) -> Reply:
        assert holding.wait_for(lambda s: s.calls["child"] == 1)
        return holding.count(body)

    sidecar.script.append(hold)
    run(
        """
        import os, stat, sys
        from chronoprof_sidecar.client import profiler

        def sockets():
            open_files = [f"/proc/self/fd/{number}" for number in range(3, 20)]
            return sum(os.path.exists(file) and stat.S_ISSOCK(os.stat(file).st_mode) for file in open_files)

        profiler.record("parent", 0.1)
        assert not profiler.flush(0.5)  # it hangs
        assert sockets() == 1
        child = os.fork()
        if not child:
            assert sockets() == 0
            profiler.record("child", 0.1)
            sys.exit(0 if profiler.flush(60.0) else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert profiler.flush(60.0)
        """,
        sidecar.url,
        directory=tmp_path,
    )

    assert {"parent": 1, "child": 1} == sidecar.calls


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing_children_are_counted(sidecar: ScriptedSidecar, tmp_path: Path, method: str) -> None:
    """Children of multiprocessing, whose exit skips `atexit`, send what they have recorded."""
    run(
        f"""
        import multiprocessing
        from chronoprof_sidecar.client import profiler

        def work(number):
            profiler.record("child", 0.1)
            return number

        if __name__ == "__main__":
            profiler.record("parent", 0.1)
            context = multiprocessing.get_context("{method}")
            children = [context.Process(target=work, args=(number,)) for number in range(3)]
            for child in children:
                child.start()
            for child in children:
                child.join()
                assert child.exitcode == 0
        """,
        sidecar.url,
        directory=tmp_path,
        CHRONOPROF_FLUSH_INTERVAL="60",
    )

    assert {"parent": 1, "child": 3} == sidecar.calls


def test_without_threads_requests_do_the_sending(sidecar: ScriptedSidecar, tmp_path: Path) -> None:
    """Where no thread can run (uWSGI without threads), everything is sent between requests and at the exit."""
    said = run(
        """
        import sys, threading, types
        sys.modules["uwsgi"] = types.SimpleNamespace(has_threads=0)
        from chronoprof_sidecar.client import profiler

        @profiler.timed("work")
        def work():
            pass

        while profiler.stats().acknowledged < 1000:
            for _ in range(1000):
                work()
            profiler.request_done()
            assert threading.active_count() == 1
        for _ in range(100_000):
            work()  # folded on the way: no buffer grows
        engine = profiler._state().engine
        assert engine.registry.waiting() < 5000, engine.registry.waiting()
        assert profiler.flush()
        assert profiler.stats().recorded == profiler.stats().acknowledged
        work()
        print(profiler.stats().recorded + 0)
        """,
        sidecar.url,
        directory=tmp_path,
    )

    assert {"work": int(said)} == sidecar.calls
    assert 1 == sidecar.finals


def test_uwsgi_with_threads_uses_them(sidecar: ScriptedSidecar, tmp_path: Path) -> None:
    """uWSGI with threads gets the flush thread like any other host."""
    said = run(
        """
        import sys, types
        sys.modules["uwsgi"] = types.SimpleNamespace(has_threads=1)
        from chronoprof_sidecar.client import profiler
        profiler.record("a", 0.1)
        print(profiler._state().engine.threadless)
        """,
        sidecar.url,
        directory=tmp_path,
    )

    assert ("False", {"a": 1}) == (said.strip(), sidecar.calls)


def test_a_dead_flush_thread_is_replaced(sidecar: ScriptedSidecar, tmp_path: Path) -> None:
    """If the flush thread dies of whatever cause, a later call starts another, and no sample is lost."""
    run(
        """
        import logging
        from chronoprof_sidecar.client import profiler
        logging.disable()  # its last words

        profiler.record("a", 0.1)
        engine = profiler._state().engine
        ended = engine._worker._ended

        def die(*, everything):
            raise MemoryError

        engine._worker._fold = die
        assert ended.wait(60.0)
        del engine._worker._fold
        while not engine._worker.is_alive():
            profiler.record("a", 0.1)
        assert profiler.flush(60.0)
        """,
        sidecar.url,
        directory=tmp_path,
    )

    assert 2 <= sidecar.calls["a"]


def test_the_flush_thread_imports_nothing(sidecar: ScriptedSidecar, tmp_path: Path) -> None:
    """Everything the thread needs is imported before it starts: an import under way could lock a forked child."""
    imported = run(
        """
        import sys
        from chronoprof_sidecar.client import profiler
        assert profiler.enabled
        before = set(sys.modules)
        for _ in range(5):
            profiler.record("a", 0.1)
            profiler.flush(2.0)
        profiler.close()
        print(sorted(set(sys.modules) - before))
        """,
        sidecar.url.replace("127.0.0.1", "localhost"),
        directory=tmp_path,
    )

    assert "[]" == imported.strip()


def test_importing_the_client_is_light(tmp_path: Path) -> None:
    """An app that leaves profiling off imports neither HTTP nor TLS nor any package for it."""
    loaded = run(
        """
        import sys
        before = set(sys.modules)
        from chronoprof_sidecar.client import profiler
        assert profiler.timed(print) is print
        new = {name.partition(".")[0] for name in set(sys.modules) - before}
        heavy = {"dataclasses", "http", "inspect", "json", "random", "ssl"}
        print(sorted(new - sys.stdlib_module_names), sorted(new & heavy))
        """,
        "",
        directory=tmp_path,
        ENABLE_PROFILING="0",
    )

    assert "['chronoprof_sidecar'] []" == loaded.strip()
