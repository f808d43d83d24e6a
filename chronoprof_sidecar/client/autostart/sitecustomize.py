"""What Python runs at the start of every process whose PYTHONPATH begins with this directory.

Starts the instrumentation, then makes way for the `sitecustomize` that it hides, if there is one. Nothing that goes
wrong here may keep a process from starting, also not one of a Python that lacks chronoprof.
"""

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path


def _start() -> None:
    try:
        from chronoprof_sidecar.client import autostart  # noqa: PLC0415 - it may not be there

        autostart.start()
    except Exception as error:  # noqa: BLE001 - see above
        if sys.stderr is not None:
            sys.stderr.write(f"chronoprof: nothing is instrumented: {type(error).__name__}: {error}\n")


def _make_way() -> None:
    here = str(Path(__file__).parent)
    sys.path[:] = [entry for entry in sys.path if entry != here]
    spec = PathFinder.find_spec("sitecustomize")
    if spec is not None and spec.loader is not None:
        hidden = module_from_spec(spec)
        sys.modules["sitecustomize"] = hidden
        spec.loader.exec_module(hidden)  # what it raises is told by `site`, as always


if __name__ == "sitecustomize":
    _start()
    _make_way()
