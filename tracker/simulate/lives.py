"""The life of a simulated task: a pure function of its id, its ending and the time since its submission."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Ending(StrEnum):
    """How a simulated task ends, in the gateway's words."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    CANCEL = "CANCEL"
    NEVER = "NEVER"
    """It stays where it is, at 99 %."""


_ODDS = {Ending.SUCCESS: 84, Ending.FAILURE: 11, Ending.CANCEL: 5}
_MODAL_ODDS = 0.08
_REASONS = ("[Banned prompt] this prompt is not allowed", "任务超时", "[Queue full] please try again later")
_STEPS = 20
"""How many values progress takes on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What is going to happen to a task; durations are counted from its submission."""

    task_id: str
    prompt: str
    began_at: datetime
    ending: Ending
    submitted_after: timedelta
    modal_after: timedelta | None
    """When it starts to wait for a person; None if it never does."""
    started_after: timedelta
    finished_after: timedelta
    last_progress: int
    """Where it is in percent when it fails or is cancelled."""
    fail_reason: str = ""

    @classmethod
    def of(cls, task_id: str, *, began_at: datetime, prompt: str = "a pig", ending: Ending | None = None) -> "Life":
        """The life that this id leads, always the same one; `ending` overrides the id's own."""
        dice = random.Random(task_id)  # noqa: S311, a simulation
        drawn = dice.choices(list(_ODDS), weights=list(_ODDS.values()))[0]
        queued, running = dice.uniform(1, 4), dice.uniform(6, 25)
        has_modal = dice.random() < _MODAL_ODDS
        modal, last, reason = dice.uniform(2, 5) if has_modal else 0, dice.randrange(5, 95), dice.choice(_REASONS)
        return cls(
            task_id=task_id,
            prompt=prompt,
            began_at=began_at,
            ending=ending or drawn,
            submitted_after=timedelta(seconds=queued / 3),
            modal_after=timedelta(seconds=queued) if has_modal else None,
            started_after=timedelta(seconds=queued + modal),
            finished_after=timedelta(seconds=queued + modal + running),
            last_progress=last,
            fail_reason=reason if (ending or drawn) is Ending.FAILURE else "",
        )

    def status(self, age: timedelta) -> str:
        """The gateway's word at this age; empty at first, as the new-api family has it."""
        if self.has_ended(age):
            return str(self.ending)
        if age >= self.started_after:
            return "IN_PROGRESS"
        if self.modal_after is not None and age >= self.modal_after:
            return "MODAL"
        if age >= self.submitted_after:
            return "SUBMITTED"
        return "NOT_START" if age >= self.submitted_after / 2 else ""

    def has_ended(self, age: timedelta) -> bool:
        """Whether nothing happens any more."""
        return self.ending is not Ending.NEVER and age >= self.finished_after

    def progress(self, age: timedelta) -> str:
        """The gateway's text; failures show 100 % too, as the new-api family has it."""
        if self.has_ended(age):
            return f"{self.last_progress}%" if self.ending is Ending.CANCEL else "100%"
        share = (age - self.started_after) / (self.finished_after - self.started_after)
        step = int(min(max(share, 0), 1) * _STEPS) / _STEPS
        most = self.last_progress if self.ending in (Ending.FAILURE, Ending.CANCEL) else 99
        return f"{int(step * most)}%"

    def body(self, age: timedelta, *, images: str, speed: float = 1.0) -> dict[str, object]:
        """The task object at this age, field by field as the gateway's own page shows it.

        `images` is the address under which pictures are served. A life that passes at another `speed` ages by it, but
        tells the times at which things happened by the clock on the wall.
        """
        is_success = self.ending is Ending.SUCCESS and self.has_ended(age)
        preview = f"{images}/{self.task_id}?rand={int(age.total_seconds() * 1e9)}"
        begun = self.status(age) == "IN_PROGRESS"
        return {
            "id": self.task_id,
            "action": "IMAGINE",
            "customId": "",
            "botType": "",
            "prompt": self.prompt,
            "promptEn": self.prompt,
            "description": "提交成功",
            "state": "",
            "submitTime": _milliseconds(self.began_at),
            "startTime": self._moment(self.started_after, age, speed),
            "finishTime": self._moment(self.finished_after, age, speed) if self.has_ended(age) else 0,
            "imageUrl": f"{images}/{self.task_id}" if is_success else preview if begun else "",
            "status": self.status(age),
            "progress": self.progress(age),
            "failReason": self.fail_reason if self.has_ended(age) else "",
            "buttons": _buttons(self.task_id) if is_success else None,
            "maskBase64": "",
            "properties": {"finalPrompt": self.prompt, "finalZhPrompt": ""} if self.has_ended(age) else None,
        }

    def _moment(self, after: timedelta, age: timedelta, speed: float) -> int:
        return _milliseconds(self.began_at + after / speed) if age >= after else 0


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _buttons(task_id: str) -> list[dict[str, object]]:
    jobs = [(f"upsample::{n}", f"U{n}") for n in range(1, 5)] + [(f"variation::{n}", f"V{n}") for n in range(1, 5)]
    return [
        {"customId": f"MJ::JOB::{job}::{task_id}", "emoji": "", "label": label, "type": 2, "style": 2}
        for job, label in jobs
    ]
