"""Commands that people copy from a page; what is put into them is quoted, so that a shell takes it for text."""

import shlex
from collections.abc import Mapping

_SIGNING = (
    "import base64,hashlib,hmac,os,sys;"
    'key=base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"));'
    "digest=hmac.digest(key,sys.stdin.buffer.read(),hashlib.sha256);"
    'print("v1,"+base64.b64encode(digest).decode())'
)
UNTOLD = "'whsec_…'"


def posting(url: str, headers: Mapping[str, str], body: str) -> str:
    """A curl that sends a body to a URL, byte for byte both."""
    parts = ["curl", "-ig", "--path-as-is", url]
    for name, value in headers.items():
        parts += ["-H", f"{name}: {value}"]
    return shlex.join([*parts, "--data-binary", body])


def signing(message_id: str, timestamp: int, body: str, *, secret: str) -> str:
    """A line that prints the signature of a message; `secret` is what a shell is to put in for it."""
    signed = shlex.join(["printf", "%s.%s.%s", message_id, str(timestamp), body])
    return f"{signed} | WEBHOOK_SECRET={secret} {shlex.join(['python3', '-c', _SIGNING])}"


def secret_of(owner: str) -> str:
    """What a shell on the tracker's machine puts in for the secret of an owner."""
    return f'"$({shlex.join(["tracker", "secret", "show", "--owner", owner])})"'
