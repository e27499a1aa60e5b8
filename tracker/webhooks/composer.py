"""Fills the outbox: what the store asks for when an event has to be told."""

from datetime import timedelta

from tracker.errors import InputError
from tracker.model import Outgoing
from tracker.origins import origin_of
from tracker.webhooks.messages import compose, new_message_id


class Composer:
    """Composes messages; `first_wait` is how long each waits before its first attempt."""

    def __init__(self, *, first_wait: timedelta = timedelta(0)) -> None:
        self.first_wait = first_wait

    def endpoint(self, url: str) -> str:
        """The endpoint of a callback; one that was written into the database by hand may have no usable URL."""
        try:
            return origin_of(url)
        except InputError:
            return "unusable"

    def message_id(self) -> str:
        """A new `msg_…`."""
        return new_message_id()

    def body(self, outgoing: Outgoing) -> str:
        """The message, as it is sent in every attempt."""
        return compose(
            outgoing.message_type,
            outgoing.task,
            sequence=outgoing.sequence,
            at=outgoing.at,
            status=outgoing.task.status,
            object=outgoing.object,
            callback=outgoing.callback,
        )
