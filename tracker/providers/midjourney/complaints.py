"""What the error envelopes of upstreams say: their words for people, and the kind of miss they amount to.

Envelopes: `{description, type, code}` and `{error: {message, type, code}}` of the new-api family,
`{success, code, message}` of trueai, `{code, message, data}` of the gateways in front of them.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus

from tracker.model import MissKind
from tracker.providers.midjourney.bodies import Parsed
from tracker.providers.midjourney.cleaning import clean_text
from tracker.vocabulary import miss_by_code

LONGEST_EXCERPT = 200
_LONGEST_SEARCH = 2000
_NOT_FOUND, _INVALID, _SATURATED = 3, 4, 30
"""Codes of the proxies: not found, a bad request (also the new-api family's word for no such task), too busy."""
_FIRST_OWN_CODE = 600
"""Codes below are HTTP's, repeated in the body; from here on gateways number their own."""

_UNKNOWN_ID = re.compile(
    r"(?<![a-z/])(?:task|job|mj_id|record)[\s_-]*(?:id[\s_-]+)?(?:is[\s_-]+|does[\s_-]+|was[\s_-]+)?(?:no|not)[\s_-]*(?:found|exist)"
    r"|(?<![a-z/])task(?:[\s_]+id)?[\s:]+\S{0,64}\d\S{0,64}[\s_]+(?:was[\s_]+)?(?:not found|does not exist)"
    r"|(?:no[\s_]+such|unknown)[\s_]+(?:task|job)(?![a-z])"
    r"|任务\s*(?:id)?\s*[a-z0-9_-]{0,64}\s*(?:不存在|未找到|找不到)|(?:找不到|未找到|没有找到)(?:该|此)?任务|不存在的任务",
    re.IGNORECASE,
)
_MISSING = re.compile(
    r"(?:no|not)[\s_-]*(?:found|exist)|no[\s_-]+such|doesn.?t[\s_]+exist|不存在|未找到|找不到|没有找到|无此",
    re.IGNORECASE,
)
"""Something is missing; enough for an unknown id only where a code or an empty envelope says the same."""
_ACCOUNT = re.compile(
    r"quota|balance|insufficient|credits?\b|billing|arrears|channel|api[\s_-]?key"
    r"|(?:invalid|expired|disabled|wrong)[\s_]+(?:access[\s_]+)?token|token[\s_]+(?:is[\s_]+)?(?:invalid|expired|disabled)"
    r"|(?:account|user)[\s_]+(?:is[\s_]+|was[\s_]+)?(?:banned|disabled|suspended|not)"
    r"|额度|余额|配额|欠费|渠道|账号|帐号|账户|令牌|密钥|分组",
    re.IGNORECASE,
)
_ROUTE_BY_NAME = re.compile(
    r"\broute|\bpath\b|\burl\b|endpoint|\bpage\b|no handler|\b(?:get|post)\s+/"
    r"|接口|路由|路径|地址",
    re.IGNORECASE,
)
_NOT_FOUND_WORDS = re.compile(r"\W*not[\s_-]?found\W*", re.IGNORECASE)
"""HTTP's words for 404, which is all that most routers say of a path that they do not know."""
_OTHER_SUBJECT = re.compile(r"mode\b|model|user|image|模式|模型|用户|图片", re.IGNORECASE)
"""What else may be missing: one-hub answers a wrong mode prefix with the code of an unknown id."""
_TELLING = ("description", "message", "msg", "detail", "title", "reason", "error", "errors")
_PLEASANTRIES = frozenset(
    {"ok", "success", "succeed", "successful", "done", "null", "none", "no data", "empty", "gone"}
    | {"成功", "请求成功", "操作成功", "查询成功", "获取成功", "暂无数据", "无数据"}
)
"""Words, folded, that say no more than a code does; `gone` is HTTP's own for 410."""


def excerpt(text: str) -> str:
    """The beginning of a text, in one line that can be shown and stored."""
    line = " ".join("".join(c if c.isprintable() else " " for c in clean_text(text[: LONGEST_EXCERPT * 4])).split())
    return line if len(line) <= LONGEST_EXCERPT else f"{line[: LONGEST_EXCERPT - 1]}…"


def words(parsed: Parsed) -> str:
    """What the body of an error tells people; empty where it is a web page or tells nothing."""
    if isinstance(parsed.value, dict):
        return excerpt(_message(parsed.value))
    return "" if parsed.text.startswith("<") else excerpt(parsed.text)


def says_unknown(said: str) -> bool:
    """Whether the words mean that there is no such task."""
    return _UNKNOWN_ID.search(said[:_LONGEST_SEARCH]) is not None


def says_missing(said: str) -> bool:
    """Whether the words mean that something is missing, and nothing but a task can be meant."""
    text = said[:_LONGEST_SEARCH]
    others = (_ACCOUNT, _ROUTE_BY_NAME, _OTHER_SUBJECT)
    return _MISSING.search(text) is not None and not any(other.search(text) for other in others)


def says_nothing(value: Mapping[str, object]) -> bool:
    """Whether an object has no words of its own; a structure in their place counts as words."""
    return not any(_tells(value.get(name)) for name in _TELLING)


def _tells(field: object) -> bool:
    if isinstance(field, str):
        return field.strip(" .!。\r\n\t").lower() not in _PLEASANTRIES | {""}
    return bool(field)


def names_account(said: str) -> bool:
    """Whether the words are about the account, its money or its ways to a vendor: about every task alike."""
    return _ACCOUNT.search(said[:_LONGEST_SEARCH]) is not None


def names_route(value: Mapping[str, object]) -> bool:
    """Whether an object is a router's: it says so, or tells the path as Spring does."""
    said = _message(value)[:_LONGEST_SEARCH]
    says_so = _ROUTE_BY_NAME.search(said) or _NOT_FOUND_WORDS.fullmatch(said)
    return says_so is not None or {"path", "error", "status"} <= value.keys()


def has_code(value: object, code: int) -> bool:
    """Whether an error object carries this code in its body."""
    return isinstance(value, dict) and _code(value) == code


def kind_of(value: object) -> MissKind | None:
    """What an error object amounts to, where its code or its words tell; None where they do not."""
    if not isinstance(value, dict):
        return None
    said = _message(value)
    if any(says_unknown(text) for text in (said, value.get("code"), value.get("status")) if isinstance(text, str)):
        return MissKind.UNKNOWN
    return _kind_of_code(value, _code(value), said)


def _kind_of_code(value: Mapping[str, object], code: int | None, said: str) -> MissKind | None:
    if code == _SATURATED:
        return MissKind.THROTTLED
    if code is not None and code != HTTPStatus.NOT_FOUND and code in range(HTTPStatus.BAD_REQUEST, _FIRST_OWN_CODE):
        return miss_by_code(code)
    if value.get("success") is False:
        return MissKind.UNUSABLE
    if code in (_NOT_FOUND, _INVALID):
        # The codes mean other things as well, such as an empty quota; the words must not.
        return MissKind.UNKNOWN if says_nothing(value) or says_missing(said) else MissKind.UNUSABLE
    return None


def _code(value: Mapping[str, object]) -> int | None:
    """The number in `code`, or in `error.code`, also where it is written as text."""
    inner = value.get("error")
    code = value.get("code", inner.get("code") if isinstance(inner, dict) else None)
    if isinstance(code, str) and code.strip().isdecimal() and len(code) <= LONGEST_EXCERPT:
        return int(code)
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def _message(value: Mapping[str, object]) -> str:
    inner = value.get("error")
    candidates = [value.get(name) for name in ("description", "message", "msg", "detail")]
    if isinstance(inner, dict):
        candidates += [inner.get("message"), inner.get("code"), inner.get("type")]
    candidates += [inner, value.get("code")]
    return next((text for text in candidates if isinstance(text, str) and text.strip()), "")
