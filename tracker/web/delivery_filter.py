"""Which deliveries somebody asks for: the conditions in an address or a form, and what is wrong with them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from typing_extensions import Annotated

from tracker.desk.queries import Instant, Text
from tracker.errors import InputError, NotFoundError
from tracker.intake import explain
from tracker.model import DeliveryStatus, MessageType
from tracker.store import receivers, tasks
from tracker.store.database import Connection
from tracker.store.redelivery import Matching as Again
from tracker.store.searching_messages import Matching

FIELDS = ("status", "endpoint", "type", "task", "since", "until")
AGAIN = (DeliveryStatus.DEAD, DeliveryStatus.DELIVERED)
"""What can be sent again by the thousand."""


class _Conditions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    status: DeliveryStatus | None = None
    type: MessageType | None = None
    endpoint: Text | None = Field(default=None, max_length=2048)
    task: Text | None = Field(default=None, max_length=512)
    since: Instant | None = None
    until: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The conditions as they were typed, and as the store understands them."""

    typed: Mapping[str, str]
    conditions: _Conditions
    problems: Mapping[str, InputError | NotFoundError]
    """By field."""

    @property
    def may_go_again(self) -> bool:
        """Whether all that match can be sent again at once: somebody has to have said which."""
        return not self.problems and self.conditions.status in AGAIN

    def resolved(self, connection: Connection, *, owner: str | None) -> "Resolved":
        """What the names in it stand for."""
