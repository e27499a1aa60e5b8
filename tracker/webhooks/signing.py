"""Signatures of Standard Webhooks, version v1: HMAC-SHA256 over `id.timestamp.body`.

The specification: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import functools
import hashlib
import hmac
import secrets as randomness
from collections.abc import Sequence

_PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64
_NEW = 32


def new_secret() -> str:
    """A fresh secret, 32 random bytes."""
    return _PREFIX + base64.b64encode(randomness.token_bytes(_NEW)).decode("ascii")


def decode_secret(secret: str) -> bytes:
    """The key in a secret, with or without its prefix and padding; raises ValueError, never naming the secret."""
    text = secret.removeprefix(_PREFIX).rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a secret is whsec_ followed by base64") from None
    if not _SHORTEST <= len(key) <= _LONGEST:
        raise ValueError(f"a secret has {_SHORTEST} to {_LONGEST} bytes, this one {len(key)}")
    return key


def sign(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`: one signature per secret, so that both old and new ones verify.

    `timestamp` is the attempt's, in seconds. Raises ValueError without a usable secret, and for an id with a dot,
    which could move the border between id, timestamp and body.
    """
    if not secrets:
        raise ValueError("there is no secret to sign with")
    if not message_id or "." in message_id:
        raise ValueError("a message id has no dot and is not empty")
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return " ".join("v1," + _signature(_key_of(secret), signed) for secret in secrets)


# The same few secrets sign everything.
_key_of = functools.lru_cache(maxsize=256)(decode_secret)


def _signature(key: bytes, signed: bytes) -> str:
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode("ascii")
