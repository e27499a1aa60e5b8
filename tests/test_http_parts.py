"""The pure parts of an exchange: naming a fault, undoing an encoding."""

import errno
import gzip
import zlib

import pytest

from tracker.http import inflate
from tracker.http.faults import word_for
from tracker.model import Phase


@pytest.mark.parametrize(
    ("fault", "phase", "word"),
    [
        (OSError(errno.EMFILE, "too many open files"), Phase.CONNECT, "local"),
        (OSError(errno.EADDRNOTAVAIL, "IPv6 without any"), Phase.CONNECT, "unreachable"),
        (OSError(errno.EPERM, "a firewall of ours"), Phase.CONNECT, "blocked"),
        (OSError(errno.ENETUNREACH, "no route"), Phase.CONNECT, "unreachable"),
        (OSError(errno.EHOSTUNREACH, "no route"), Phase.CONNECT, "unreachable"),
        (OSError("Multiple exceptions: …"), Phase.CONNECT, "unreachable"),
        (OSError(errno.ETIMEDOUT, "given up by the kernel"), Phase.CONNECT, "timeout"),
        (BrokenPipeError(errno.EPIPE, "closed"), Phase.SEND, "reset"),
        (ValueError("we made it wrong"), Phase.SEND, "local"),
        (ValueError("it was sent wrong"), Phase.BODY, "protocol"),
    ],
)
def test_a_fault_is_named_by_what_caused_it(fault: Exception, phase: Phase, word: str) -> None:
    wrapped = RuntimeError("as a client may wrap it")
    wrapped.__cause__ = fault

    assert word_for(fault, phase) == word_for(wrapped, phase) == word


def raw_deflate(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(body) + stream.flush()


@pytest.mark.parametrize(
    ("body", "encoding", "expected"),
    [
        (b"plain", "", (b"plain", False)),
        (b"plain too long", "identity", (b"plain too ", True)),
        (gzip.compress(b"0123456789", mtime=0), "gzip", (b"0123456789", False)),
        (gzip.compress(b"0123456789a", mtime=0), " X-GZIP ", (b"0123456789", True)),
        (gzip.compress(b"01234", mtime=0) + gzip.compress(b"56789", mtime=0), "gzip", (b"0123456789", False)),
        (gzip.compress(b"0123456789", mtime=0) + gzip.compress(b"a", mtime=0), "gzip", (b"0123456789", True)),
        (gzip.compress(b"01", mtime=0)[:-4], "gzip", (b"01", True)),
        (zlib.compress(b"01"), "deflate", (b"01", False)),
        (raw_deflate(b"01"), "deflate", (b"01", False)),
        (b"", "gzip", (b"", False)),
    ],
)
def test_inflating_stops_at_the_cap(body: bytes, encoding: str, expected: tuple[bytes, bool]) -> None:
    assert inflate(body, encoding, 10) == expected


@pytest.mark.parametrize(("body", "encoding"), [(b"plain", "gzip"), (b"x", "br"), (b"x", "gzip, gzip")])
def test_what_cannot_be_inflated_is_a_value_error(body: bytes, encoding: str) -> None:
    with pytest.raises(ValueError, match=r"encoding|data"):
        inflate(body, encoding, 10)
