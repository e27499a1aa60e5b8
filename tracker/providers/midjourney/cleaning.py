"""What of an upstream's object may be kept: no secrets, nothing that a database cannot store, nothing huge."""

import functools
import json
import math
import re
from collections.abc import Mapping

import msgspec

DEEPEST = 32
"""Levels of nesting that are kept; what lies deeper becomes null."""
LARGEST = 64 * 1024
"""Bytes of JSON that an object may have once it is cleaned."""
LONGEST_TEXT = 4000
"""Characters of a field that is always kept."""
LONGEST_BLOB = 1000
"""Characters of base64 that are kept; longer ones are pictures."""
LARGEST_INTEGER = 2**63 - 1

PRIVATE = frozenset(
    {
        # novicezk's `properties`, an open map: where the caller is told, and the account that works for it
        *("notifyhook", "nonce", "messageid", "flags", "messagehash", "progressmessageid", "discordinstanceid"),
        # trueai's rows: accounts, people, chat internals, the vendors' raw answers
        *("messageids", "instanceid", "subinstanceid", "interactionmetadataid", "userid", "clientip"),
        *("accountfilter", "iswhite", "partnertaskid", "partnertaskinfo", "officialtaskid", "officialtaskinfo"),
        # the new-api family's rows
        *("username", "channelid", "tokenid", "billingchannelid", "privatedata"),
        *("guildid", "sessionid", "cookie", "cookies", "authorization"),
    }
)
"""Names, folded, that are dropped at every depth."""
_PRIVATE_PARTS = ("secret", "password", "apikey", "accesstoken", "usertoken")

ESSENTIAL = frozenset(
    {"id", "action", "status", "progress", "submitTime", "startTime", "finishTime", "imageUrl", "failReason"}
)
"""Fields that an object which is too large keeps longest."""

_LONGEST_REMEMBERED = 64
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def clean(found: Mapping[str, object]) -> dict[str, object]:
    """A copy that may be stored and passed on."""
    kept = _clean_object(found, 1)
    for name in ESSENTIAL & kept.keys():
        value = kept[name]
        if isinstance(value, str):
            kept[name] = value[:LONGEST_TEXT]
    return _fit(kept)


def clean_text(text: str) -> str:
    """Text without NUL and lone surrogates, which databases refuse."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def is_private(name: str) -> bool:
    """Whether a field of this name is nobody's business but the upstream's and its account's."""
    folded = _fold(name)
    return folded in PRIVATE or folded == "token" or any(part in folded for part in _PRIVATE_PARTS)


def _fold(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).lower()


def judge(name: str) -> tuple[bool, bool, str]:
    """Whether a name is private, whether it promises base64, and the name as it may be stored."""
    return is_private(name), "base64" in _fold(name), clean_text(name)


_judged = functools.lru_cache(maxsize=1024)(judge)
"""The same few names come with every object."""


def _clean_object(found: Mapping[str, object], depth: int) -> dict[str, object]:
    kept: dict[str, object] = {}
    for name, value in found.items():
        is_secret, is_base64, stored = _judged(name) if len(name) <= _LONGEST_REMEMBERED else judge(name)
        if not is_secret and not (is_base64 and _is_blob(value)):
            kept[stored] = _clean_value(value, depth + 1)
    return kept


def _clean_value(value: object, depth: int) -> object:
    if isinstance(value, str):
        if value.isascii() and len(value) <= LONGEST_BLOB and "\0" not in value:
            return value
        return None if _is_picture(value) else clean_text(value)
    if isinstance(value, dict | list) and depth <= DEEPEST:
        if isinstance(value, dict):
            return _clean_object(value, depth)
        return [_clean_value(entry, depth + 1) for entry in value]
    return _clean_number(value)


def _clean_number(value: object) -> object:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        # Beyond 64 bits a number is an id: as text it keeps its digits in every database and reader.
        return value if abs(value) <= LARGEST_INTEGER else str(value)
    return value if isinstance(value, float) and math.isfinite(value) else None


def _is_blob(value: object) -> bool:
    """Whether what a name of base64 holds is more than a few words."""
    return isinstance(value, list | dict) or (isinstance(value, str) and len(value) > LONGEST_BLOB)


def _is_picture(text: str) -> bool:
    return len(text) > LONGEST_BLOB and text.startswith("data:") and ";base64," in text[:LONGEST_BLOB]


def _fit(kept: dict[str, object]) -> dict[str, object]:
    """Drop the largest fields, the essential ones last, until the rest fits."""
    # With a space after each comma and colon it is not twice as long.
    if 2 * len(msgspec.json.encode(kept)) <= LARGEST or _size(kept) <= LARGEST:
        return kept
    sizes = {name: _size(name) + _size(value) + 4 for name, value in kept.items()}
    total = sum(sizes.values()) + 2
    for name in sorted(sizes, key=lambda name: (name in ESSENTIAL, -sizes[name])):
        if total <= LARGEST:
            break
        total -= sizes[name]
        del kept[name]
    return kept


def _size(value: object) -> int:
    """Bytes as JSON."""
    return len(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
