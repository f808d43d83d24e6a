"""Senders by the rules: one batch in flight, the same bytes again until they are answered."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable

from chronoprof_sidecar.protocol import INGEST_PATH
from tests.process.sidecar import DEADLINE_SECONDS, INGEST_KEY, Sidecar, wait_until

CALLS_PER_BATCH = 20
"""Half of them in a row of the sender's own, half in one of those that all senders share."""
SHARED_ROWS = 7


def batch_ns(sender: str, seq: int) -> dict[str, list[int]]:
    """Return the calls of one batch, in nanoseconds.

    In the sender's own row all last as many microseconds as the batch's number says, so that the row's shortest and
    longest call name the first and the last batch that it counts.
    """
    half = CALLS_PER_BATCH // 2
    return {
        sender: [seq * 1000] * half,
        f"shared-{seq % SHARED_ROWS}": [seq * 1000 + offset for offset in range(half)],
    }


def encode_batch(sender: str, seq: int, calls_ns: dict[str, list[int]]) -> bytes:
    """Return the body that ships these calls."""
    durations = {name: [duration / 1e9 for duration in calls] for name, calls in calls_ns.items()}
    return json.dumps({"client": {"id": sender, "seq": seq}, "durations": durations}).encode()


MakeBatch = Callable[[str, int], dict[str, list[int]]]


class SteadySender(threading.Thread):
    """Sends batch after batch as fast as they are answered, on one connection for as long as that lasts."""

    def __init__(self, port: Callable[[], int], name: str, make_batch: MakeBatch, pause_seconds: float) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._make_batch = make_batch
        self._pause_seconds = pause_seconds
        self._connection: http.client.HTTPConnection | None = None
        self.sender = name
        self.stopping = threading.Event()
        self.batches = 0
        self.calls: Counter[str] = Counter()
        self.total_ns: Counter[str] = Counter()
        self.unexpected: list[object] = []
        self.refusals = 0
        self.longest_wait_asked = 0
        self.longest_stall_seconds = 0.0
        """How long a batch took until it was acknowledged."""

    def run(self) -> None:
        """Send until told to stop and answered."""
        while not self.stopping.is_set():
            seq = self.batches + 1
            calls_ns = self._make_batch(self.sender, seq)
            began = time.monotonic()
            if not self._send_until_answered(encode_batch(self.sender, seq, calls_ns)):
                break
            for name, calls in calls_ns.items():
                self.calls[name] += len(calls)
                self.total_ns[name] += sum(calls)
            self.longest_stall_seconds = max(self.longest_stall_seconds, time.monotonic() - began)
            self.batches = seq
        self._hang_up()

    def _send_until_answered(self, body: bytes) -> bool:
        """Say whether the batch was acknowledged; any other answer than "not now" is unexpected.

        However long the sidecar asks to wait, it is asked again after a pause.
        """
        while True:
            try:
                status, content, wait_asked = self._post(body)
            except (OSError, http.client.HTTPException):
                self._hang_up()
                threading.Event().wait(self._pause_seconds)
                continue
            if status == 503 and wait_asked:
                self.refusals += 1
                self.longest_wait_asked = max(self.longest_wait_asked, wait_asked)
                threading.Event().wait(self._pause_seconds)
                continue
            if status != 200:
                self.unexpected.append((status, content))
            return status == 200

    def _post(self, body: bytes) -> tuple[int, bytes, int]:
        """Return status, content, and the seconds of `Retry-After`; 0 where it is missing."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port(), timeout=DEADLINE_SECONDS)
        headers = {"Content-Type": "application/json", "X-API-Key": INGEST_KEY}
        self._connection.request("POST", INGEST_PATH, body, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read(), int(answer.headers.get("Retry-After", "0"))

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Senders:
    """Several steady senders, and what they know to be counted."""

    def __init__(
        self, port: Callable[[], int], count: int, make_batch: MakeBatch = batch_ns, pause_seconds: float = 0.01
    ) -> None:
        self._port = port
        self._make_batch = make_batch
        self._pause_seconds = pause_seconds
        self._all: list[SteadySender] = []
        self.join_in(count)

    def join_in(self, count: int) -> list[SteadySender]:
        """Let so many more begin, and return them."""
        first = len(self._all)
        joining = [
            SteadySender(self._port, f"sender-{first + n}", self._make_batch, self._pause_seconds) for n in range(count)
        ]
        self._all += joining
        for sender in joining:
            sender.start()
        return joining

    @property
    def batches(self) -> int:
        """Batches acknowledged so far."""
        return sum(sender.batches for sender in self._all)

    @property
    def batches_of(self) -> dict[str, int]:
        """Batches acknowledged so far, by sender."""
        return {sender.sender: sender.batches for sender in self._all}

    @property
    def refusals(self) -> int:
        """How often they were asked to come again."""
        return sum(sender.refusals for sender in self._all)

    @property
    def longest_wait_asked(self) -> int:
        """The longest `Retry-After`, in seconds."""
        return max(sender.longest_wait_asked for sender in self._all)

    @property
    def longest_stall_seconds(self) -> float:
        """How long the slowest batch took until it was acknowledged."""
        return max(sender.longest_stall_seconds for sender in self._all)

    def wait_for_refusals(self, refusals: int) -> None:
        """Wait until they were asked so many more times to come again."""
        goal = self.refusals + refusals
        wait_until(lambda: self.refusals >= goal, f"{refusals} more refusals")

    def wait_for(self, batches: int, seconds: float = DEADLINE_SECONDS) -> None:
        """Wait until so many more batches are acknowledged."""
        goal = self.batches + batches
        wait_until(lambda: self.batches >= goal, f"{batches} more acknowledged batches", seconds)

    def stop(self) -> None:
        """Wait until every sender has its last answer."""
        for sender in self._all:
            sender.stopping.set()
        for sender in self._all:
            sender.join(DEADLINE_SECONDS)
            assert not sender.is_alive()
            assert [] == sender.unexpected

    def calls(self) -> Counter[str]:
        """Return the calls acknowledged, by function name; for after the end."""
        return sum((sender.calls for sender in self._all), Counter())

    def total_ns(self) -> Counter[str]:
        """Return the nanoseconds acknowledged, by function name; for after the end."""
        return sum((sender.total_ns for sender in self._all), Counter())


def lost_and_doubled(senders: Senders, sidecar: Sidecar) -> tuple[int, int]:
    """Return how many acknowledged calls the sidecar lacks, and how many it has that nobody was told of.

    Also holds the totals against each other, to the nanosecond.
    """
    rows = sidecar.data()
    counted = Counter({name: row["calls"] for name, row in rows.items()})
    acknowledged = senders.calls()
    lost, doubled = (acknowledged - counted).total(), (counted - acknowledged).total()
    if (lost, doubled) == (0, 0):
        assert senders.total_ns() == Counter({name: round(row["total_time"] * 1e9) for name, row in rows.items()})
    return lost, doubled
