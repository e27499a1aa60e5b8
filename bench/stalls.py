"""How long a daemon keeps callers waiting for an answer that costs nothing: its event loop's stalls, from outside."""

import http.client
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_EVERY = 0.1
_LONGEST = 120.0


class Stalls:
    """Asks again and again for `/healthz`, one question at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._waits: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    @contextmanager
    def watching(self) -> Iterator["Stalls"]:
        """Ask meanwhile."""
        self._thread.start()
        try:
            yield self
        finally:
            self._over.set()
            self._thread.join(_LONGEST)

    def read(self) -> str:
        """The waits since the last time, in words."""
        waits, self._waits = sorted(self._waits), []
        if not waits:
            return "never asked"
        return f"/healthz p50 {_share(waits, 0.5):.0f}, p99 {_share(waits, 0.99):.0f}, most {1000 * waits[-1]:.0f} ms"

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_LONGEST)
        while not self._over.wait(_EVERY):
            began = time.monotonic()
            try:
                connection.request("GET", "/healthz")
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                connection.close()
                continue
            self._waits.append(time.monotonic() - began)
        connection.close()


def _share(waits: Sequence[float], share: float) -> float:
    return 1000 * waits[math.ceil(share * len(waits)) - 1]
