"""What came of the tasks of a demo: pure sums over what the API tells and what the receiver verified."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tracker.cli.protocol import Document
from tracker.model import ENDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How far a demo is."""

    submitted: int
    """How many tasks the gateway was given."""
    tasks: Sequence[Document]
    deliveries: Sequence[Document]
    verified: Mapping[str, str]
    """The message type that the receiver verified and accepted, by the tracker's id of the task."""
    forged: int = 0
    """Requests whose signature did not fit."""
    refused: int = 0
    """Genuine messages that the receiver answered with an error, as the script wants it."""

    @property
    def by_status(self) -> Counter[str]:
        """How many tasks are in each status."""
        return Counter(task["status"] for task in self.tasks)

    @property
    def ended(self) -> int:
        """How many tasks have ended."""
        return sum(count for status, count in self.by_status.items() if status in ENDS)

    @property
    def delivered(self) -> int:
        """How many messages the daemon knows to have arrived."""
        return sum(delivery["status"] == "delivered" for delivery in self.deliveries)

    @property
    def is_complete(self) -> bool:
        """Whether everything has happened that should."""
        return not self.missing()

    def missing(self) -> list[str]:
        """What should have happened and has not, a line each."""
        problems = []
        if len(self.tasks) != self.submitted:
            problems.append(f"{self.submitted} tasks were submitted, {len(self.tasks)} are known")
        live = [task["task_id"] for task in self.tasks if task["status"] not in ENDS]
        if live:
            problems.append(f"{len(live)} tasks have not ended: {_some(live)}")
        silent = [task["task_id"] for task in self.tasks if task["status"] in ENDS and not self._is_verified(task)]
        if silent:
            problems.append(f"{len(silent)} tasks ended without a verified message: {_some(silent)}")
        pending = [delivery["id"] for delivery in self.deliveries if delivery["status"] != "delivered"]
        if pending:
            problems.append(f"{len(pending)} messages are not delivered: {_some(pending)}")
        if self.forged:
            problems.append(f"{self.forged} messages had no valid signature")
        return problems

    def _is_verified(self, task: Document) -> bool:
        return self.verified.get(task["id"]) == f"task.{task['status']}"

    def summary(self, seconds: float) -> str:
        """The one line at the end."""
        ends = ", ".join(f"{self.by_status[status]} {status}" for status in ENDS if self.by_status[status])
        told = f" ({ends})" if ends else ""
        verified = sum(self._is_verified(task) for task in self.tasks)
        return f"demo: {self.ended} tasks ended{told}, {verified} delivered and verified in {seconds:.1f} s"


def _some(names: Sequence[str]) -> str:
    shown = 3
    return ", ".join(names[:shown]) + (" …" if len(names) > shown else "")
