"""The words of the database, as pages write them: each in the reader's language."""

from tracker.model import DeliveryStatus, EndpointState, EventKind, MessageType, Status
from tracker.web.languages import Language


def _(text: str) -> str:
    """Marks a text that is looked up later."""
    return text


_WORDS: dict[str, str] = {
    Status.QUEUED: _("queued"),
    Status.RUNNING: _("running"),
    Status.NEEDS_INPUT: _("needs input"),
    Status.SUCCEEDED: _("succeeded"),
    Status.FAILED: _("failed"),
    Status.CANCELLED: _("cancelled"),
    Status.LOST: _("lost"),
    Status.EXPIRED: _("expired"),
    Status.DROPPED: _("dropped"),
    DeliveryStatus.PENDING: _("pending"),
    DeliveryStatus.DELIVERED: _("delivered"),
    DeliveryStatus.DEAD: _("dead"),
    DeliveryStatus.SUPERSEDED: _("superseded"),
    EndpointState.ACTIVE: _("active"),
    EndpointState.PAUSED: _("paused"),
    EndpointState.DISABLED: _("disabled"),
    EventKind.REGISTERED: _("registered"),
    EventKind.STATUS: _("status"),
    EventKind.PROGRESS: _("progress"),
    EventKind.CONTRADICTION: _("contradiction"),
    EventKind.DELIVERY_FAILED: _("delivery failed"),
    EventKind.DELIVERY_DEAD: _("delivery dead"),
    MessageType.SUCCEEDED: _("task succeeded"),
    MessageType.FAILED: _("task failed"),
    MessageType.CANCELLED: _("task cancelled"),
    MessageType.LOST: _("task lost"),
    MessageType.EXPIRED: _("task expired"),
    MessageType.PROGRESS: _("task progress"),
    MessageType.NEEDS_INPUT: _("task needs input"),
    "sending": _("sending"),
    "interrupted": _("interrupted"),
    "ok": _("ok"),
    "unknown": _("unknown"),
    "not_configured": _("not configured"),
    "read": _("read"),
    "write": _("write"),
    "admin": _("admin"),
}


def word(language: Language, value: str) -> str:
    """A status, a state, an event or a type, as people read it; what has no word is shown as it is."""
    known = _WORDS.get(str(value))
    return language.gettext(known) if known else str(value)
