"""Which batches a window counts: told from its rows, and checked against what those batches hold.

In a sender's own row every call lasts as many microseconds as its batch's number says, so the row's shortest and
longest call name the first and the last batch of the window.
"""

from collections import Counter
from collections.abc import Mapping

from chronoprof_sidecar.domain.snapshot import Snapshot
from tests.faults.senders import batch_ns
from tests.faults.stored import Counted, counted_in

NO_BATCHES = range(0)


def batches_in(window: Snapshot, senders: Mapping[str, int]) -> dict[str, range]:
    """Return the numbers of each sender's batches in a window, which must be whole and without a gap."""
    runs = {
        key.function_name: range(row.min_ns // 1000, row.max_ns // 1000 + 1)
        for key, row in window.rows
        if key.function_name in senders
    }
    assert counted_in_batches(runs) == counted_in(window)
    return runs


def counted_in_batches(runs: Mapping[str, range]) -> Counted:
    """Return the calls and nanoseconds of so many batches."""
    counted = Counted(Counter(), Counter())
    for sender, numbers in runs.items():
        for seq in numbers:
            for name, calls_ns in batch_ns(sender, seq).items():
                counted.calls[name] += len(calls_ns)
                counted.total_ns[name] += sum(calls_ns)
    return counted


def unaccounted_batches(windows: Mapping[int, Snapshot], senders: Mapping[str, int]) -> int:
    """Return how many batches are in no window or in two, and cannot have gone with a window that was reset.

    Args:
        windows: by generation; those missing were reset.
        senders: how many batches each of them knows to be counted.
    """
    unaccounted = 0
    last, last_generation = dict.fromkeys(senders, 0), 0
    for generation, window in sorted(windows.items()):
        runs = batches_in(window, senders)
        was_reset = generation > last_generation + 1
        for sender, numbers in runs.items():
            gap = numbers.start - 1 - last[sender]
            unaccounted += abs(gap) if gap < 0 or not was_reset else 0
            last[sender] = numbers[-1]
        last_generation = generation
    return unaccounted + sum(abs(batches - last[sender]) for sender, batches in senders.items())
