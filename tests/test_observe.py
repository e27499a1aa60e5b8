"""What an observation may do to a task, by tables and for random sequences of answers."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from tracker.model import (
    ENDS,
    Callback,
    Change,
    Event,
    EventKind,
    MessageType,
    Miss,
    MissKind,
    Seen,
    Snapshot,
    Status,
    Task,
)
from tracker.observe import (
    LOOKS_BEFORE_AN_IMPLIED_FAILURE,
    MISSES_BEFORE_AN_END,
    NO_STREAK,
    Rules,
    Streak,
    drop,
    message_for,
    observe,
    revive,
    tally,
)

START = datetime(2026, 11, 22, 8, tzinfo=UTC)
RULES = Rules()
TASK = Task(key=1, id="tsk_1", upstream="default", task_id="1730621826053455", registered_at=START, sequence=1)
MINUTE = timedelta(minutes=1)
FAR = timedelta(days=400)
UPSTREAM_ENDS = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)
LIVE = tuple(status for status in Status if not status.is_end)


def snap(status: Status | None = None, **fields: object) -> Snapshot:
    fields.setdefault("upstream_status", status.upper() if status else "")
    told = fields.pop("object", {})
    return replace(Snapshot(task_id=TASK.task_id, status=status, kept=lambda: told), **fields)


def miss(kind: MissKind) -> Miss:
    return Miss(kind=kind, detail="made up")


def look(task: Task, seen: Seen, after: timedelta = MINUTE) -> Change:
    now = START + after
    return observe(task, seen, now, streak=tally(NO_STREAK, seen, now), rules=RULES)


def look_often(task: Task, seen: Seen, *, times: int, every: timedelta) -> list[Change]:
    """What each of many equal looks brought."""
    streak, changes = NO_STREAK, []
    for number in range(times):
        now = START + every * number
        streak = tally(streak, seen, now)
        changes.append(observe(task, seen, now, streak=streak, rules=RULES))
        task = changes[-1].task
    return changes


class TestEnds:
    @pytest.mark.parametrize("status", UPSTREAM_ENDS)
    @pytest.mark.parametrize("before", LIVE)
    def test_a_task_ends_when_the_upstream_says_so_from_wherever_it_was(self, before: Status, status: Status) -> None:
        change = look(replace(TASK, status=before), snap(status, object={"id": "1"}))

        assert change.task.status is status
        assert change.task.ended_at == START + MINUTE
        assert change.event is not None
        assert (change.event.kind, change.event.from_status, change.event.to_status) == (
            EventKind.STATUS,
            before,
            status,
        )
        assert change.event.sequence == change.task.sequence == 2
        assert change.object == {"id": "1"}

    def test_success_needs_no_image_and_no_progress(self) -> None:
        change = look(TASK, snap(Status.SUCCEEDED))

        assert change.task.status is Status.SUCCEEDED
        assert change.task.image_url is None
        assert change.task.progress == 100

    def test_success_keeps_the_progress_it_came_with(self) -> None:
        assert look(TASK, snap(Status.SUCCEEDED, progress=98)).task.progress == 98

    @pytest.mark.parametrize("progress", [None, 0, 100])
    def test_progress_on_failure_is_what_the_upstream_says(self, progress: int | None) -> None:
        change = look(replace(TASK, progress=40), snap(Status.FAILED, progress=progress, fail_reason="banned"))

        assert change.task.progress == (40 if progress is None else progress)
        assert change.task.fail_reason == "banned"

    @pytest.mark.parametrize("end", ENDS)
    @pytest.mark.parametrize("late", [*Status, None])
    def test_the_first_end_wins(self, end: Status, late: Status | None) -> None:
        ended = replace(TASK, status=end, ended_at=START, progress=7, fail_reason="first")

        change = look(ended, snap(late, progress=100, fail_reason="later", image_url="https://later"), FAR)

        assert replace(change.task, sequence=1, contradiction=None) == ended

    @pytest.mark.parametrize("kind", MissKind)
    def test_a_miss_after_the_end_means_nothing(self, kind: MissKind) -> None:
        ended = replace(TASK, status=Status.SUCCEEDED, ended_at=START)

        assert look_often(ended, miss(kind), times=9, every=FAR)[-1] == Change(task=ended)

    def test_a_different_late_status_is_noted_once(self) -> None:
        ended = replace(TASK, status=Status.FAILED, ended_at=START)

        first = look(ended, snap(Status.SUCCEEDED))
        again = look(first.task, snap(Status.SUCCEEDED), 2 * MINUTE)

        assert first.event is not None
        assert first.event.kind is EventKind.CONTRADICTION
        assert (first.event.from_status, first.event.to_status) == (Status.FAILED, Status.SUCCEEDED)
        assert first.event.note == "the upstream now says SUCCEEDED; the task stays failed"
        assert first.task.contradiction == "succeeded"
        assert again == Change(task=first.task)

    def test_each_late_status_is_noted_once_for_itself(self) -> None:
        ended = replace(TASK, status=Status.LOST, ended_at=START)

        running = look(ended, snap(Status.RUNNING))
        succeeded = look(running.task, snap(Status.SUCCEEDED))

        assert [change.event and change.event.sequence for change in (running, succeeded)] == [2, 3]
        assert succeeded.task.contradiction == "succeeded"

    def test_the_answered_id_is_told_where_it_differs(self) -> None:
        change = look(TASK, snap(Status.SUCCEEDED, reported_id="17"))

        assert change.event is not None
        assert change.event.note == "the answer carries the id 17"


class TestLife:
    @pytest.mark.parametrize("silence", [None, Status.QUEUED])
    def test_silence_about_the_status_changes_nothing(self, silence: Status | None) -> None:
        assert look(TASK, snap(silence, upstream_status="")) == Change(task=TASK)

    def test_a_change_of_status_is_an_event(self) -> None:
        change = look(TASK, snap(Status.RUNNING, progress=0))

        assert change.event == Event(
            sequence=2,
            kind=EventKind.STATUS,
            observed_at=START + MINUTE,
            from_status=Status.QUEUED,
            to_status=Status.RUNNING,
            upstream_status="RUNNING",
            progress=0,
        )

    @pytest.mark.parametrize(
        ("before", "now", "is_event"), [(None, 5, True), (None, 0, False), (5, 6, True), (6, 5, False)]
    )
    def test_only_growing_progress_is_an_event(self, before: int | None, now: int, is_event: bool) -> None:  # noqa: FBT001, a column
        task = replace(TASK, status=Status.RUNNING, upstream_status="RUNNING", progress=before)

        change = look(task, snap(Status.RUNNING, progress=now))

        assert change.task.progress == now
        assert (change.event is not None) is is_event
        if change.event:
            assert (change.event.kind, change.event.from_status) == (EventKind.PROGRESS, None)

    def test_progress_counts_also_while_the_status_is_unknown(self) -> None:
        change = look(TASK, snap(None, upstream_status="WARMING_UP", progress=10))

        assert change.event is not None
        assert change.event.kind is EventKind.PROGRESS
        assert change.task.status is Status.QUEUED
        assert change.task.upstream_status == "WARMING_UP"

    @pytest.mark.parametrize("status", [*LIVE, None])
    def test_full_progress_is_no_end(self, status: Status | None) -> None:
        for change in look_often(TASK, snap(status, progress=100), times=50, every=timedelta(seconds=5)):
            assert not change.task.status.is_end

    def test_an_image_that_changes_is_no_news(self) -> None:
        task = replace(TASK, status=Status.RUNNING, upstream_status="RUNNING", image_url="https://host/1?rand=1")

        change = look(task, snap(Status.RUNNING, image_url="https://host/1?rand=2", object={"displays": {"now": 2}}))

        assert change == Change(task=task)

    @pytest.mark.parametrize(
        "news",
        [
            {"action": "UPSCALE"},
            {"submitted_at": START},
            {"started_at": START},
            {"upstream_status": "RUNNING"},
            {"progress": 3},
            {"finished_at": START},
            {"fail_reason": "slow"},
        ],
    )
    def test_quiet_changes_are_kept_without_an_event(self, news: dict[str, object]) -> None:
        task = replace(TASK, upstream_status="QUEUED", progress=5, action="IMAGINE")

        change = look(task, snap(Status.QUEUED, **news, object={"new": 1}))

        assert change.event is None
        assert change.object == {"new": 1}
        assert all(getattr(change.task, name) == value for name, value in news.items())

    def test_silence_erases_nothing(self) -> None:
        known = replace(
            TASK,
            status=Status.RUNNING,
            upstream_status="IN_PROGRESS",
            action="IMAGINE",
            progress=31,
            submitted_at=START,
            started_at=START,
            finished_at=START,
            image_url="https://host/1",
            fail_reason="a warning",
        )

        assert look(known, snap(None)) == Change(task=known)


class TestMisses:
    @pytest.mark.parametrize(
        ("times", "every", "lost"),
        [
            (4, timedelta(hours=5), False),
            (5, timedelta(minutes=2), False),
            (5, timedelta(minutes=2.5), True),
            (1000, timedelta(seconds=0.5), False),
            (1201, timedelta(seconds=0.5), True),
        ],
    )
    def test_lost_needs_five_unknowns_in_a_row_that_last(self, times: int, every: timedelta, lost: bool) -> None:  # noqa: FBT001, a column
        change = look_often(TASK, miss(MissKind.UNKNOWN), times=times, every=every)[-1]

        assert (change.task.status is Status.LOST) is lost
        if lost:
            assert change.event is not None
            assert change.event.note == f"the upstream has not known it for {times} looks"

    def test_being_seen_starts_the_count_anew(self) -> None:
        streak = NO_STREAK
        row = [miss(MissKind.UNKNOWN)] * 4 + [snap(Status.QUEUED)] + [miss(MissKind.UNKNOWN)] * 4
        for number, seen in enumerate(row):
            now = START + number * timedelta(minutes=10)
            streak = tally(streak, seen, now)
            assert not observe(TASK, seen, now, streak=streak, rules=RULES).task.status.is_end

    @pytest.mark.parametrize("between", [MissKind.TRANSIENT, MissKind.REFUSED, MissKind.THROTTLED, MissKind.UNUSABLE])
    def test_what_says_nothing_about_the_task_neither_breaks_nor_lengthens_the_row(self, between: MissKind) -> None:
        """A gateway that throttles every few looks would otherwise keep an unknown task for ever."""
        streak, ends = NO_STREAK, []
        row = [*[miss(MissKind.UNKNOWN)] * 4, *[miss(between)] * 9, miss(MissKind.UNKNOWN)]
        for number, seen in enumerate(row):
            now = START + number * timedelta(minutes=10)
            streak = tally(streak, seen, now)
            ends.append(observe(TASK, seen, now, streak=streak, rules=RULES).task.status)

        assert ends == [Status.QUEUED] * 13 + [Status.LOST]

    def test_unknown_and_out_of_reach_by_turns_expire_at_the_deadline(self) -> None:
        streak = NO_STREAK
        kinds = [MissKind.UNKNOWN, *[MissKind.TRANSIENT] * 4]
        for number, kind in enumerate(kinds):
            now = START + timedelta(hours=23) + number * timedelta(minutes=20)
            streak = tally(streak, miss(kind), now)

        change = observe(TASK, miss(MissKind.TRANSIENT), START + timedelta(hours=25), streak=streak, rules=RULES)

        assert change.task.status is Status.EXPIRED

    def test_only_a_dropped_task_is_revived(self) -> None:
        dropped = drop(TASK, START, "dropped by admin").task
        failed = replace(TASK, status=Status.FAILED, ended_at=START)

        change = revive(dropped, START, "registered again")

        assert (change.task.status, change.task.ended_at) == (Status.QUEUED, None)
        assert change.event is not None
        assert (change.event.from_status, change.event.to_status) == (Status.DROPPED, Status.QUEUED)
        assert revive(failed, START, "registered again") == Change(task=failed)

    @pytest.mark.parametrize("kind", [MissKind.REFUSED, MissKind.THROTTLED, MissKind.UNUSABLE])
    @pytest.mark.parametrize("status", LIVE)
    def test_what_is_wrong_with_the_upstream_never_ends_a_task(self, kind: MissKind, status: Status) -> None:
        task = replace(TASK, status=status)

        assert all(change == Change(task=task) for change in look_often(task, miss(kind), times=500, every=FAR))

    @pytest.mark.parametrize("kind", [MissKind.UNKNOWN, MissKind.TRANSIENT])
    def test_an_upstream_out_of_reach_at_the_deadline_expires_the_task(self, kind: MissKind) -> None:
        rules = Rules(lost_after=timedelta(days=30) if kind is MissKind.UNKNOWN else RULES.lost_after)
        since = START + timedelta(hours=23)
        count = MISSES_BEFORE_AN_END
        streak = Streak(kind=kind, count=count, since=since, silent=count, silent_since=since)

        before = observe(TASK, miss(kind), START + timedelta(hours=23.9), streak=streak, rules=rules)
        after = observe(TASK, miss(kind), START + timedelta(hours=24), streak=streak, rules=rules)

        assert before == Change(task=TASK)
        assert after.task.status is Status.EXPIRED
        assert after.object is None

    def test_a_short_outage_at_the_deadline_expires_nothing(self) -> None:
        now = START + timedelta(hours=25)
        since = now - timedelta(minutes=9)
        streak = Streak(kind=MissKind.TRANSIENT, count=50, since=since, silent=50, silent_since=since)

        assert observe(TASK, miss(MissKind.TRANSIENT), now, streak=streak, rules=RULES) == Change(task=TASK)


class TestDeadline:
    @pytest.mark.parametrize(
        ("status", "hours", "expired"),
        [
            (Status.QUEUED, 23.9, False),
            (Status.QUEUED, 24, True),
            (Status.RUNNING, 24, True),
            (Status.NEEDS_INPUT, 24, False),
            (Status.NEEDS_INPUT, 7 * 24, True),
        ],
    )
    def test_a_task_without_an_end_expires_later_if_it_waits_for_a_person(
        self,
        status: Status,
        hours: float,
        expired: bool,  # noqa: FBT001, a column
    ) -> None:
        change = look(replace(TASK, status=status), snap(status, progress=3), timedelta(hours=hours))

        assert (change.task.status is Status.EXPIRED) is expired
        assert change.task.progress == 3

    @pytest.mark.parametrize("status", UPSTREAM_ENDS)
    def test_an_end_seen_after_the_deadline_is_still_the_end(self, status: Status) -> None:
        assert look(TASK, snap(status), FAR).task.status is status


class TestImpliedFailure:
    STUCK = snap(Status.RUNNING, progress=100, fail_reason="上游任务超时", implies_failure=True)

    def test_it_counts_only_when_it_stays(self) -> None:
        changes = look_often(TASK, self.STUCK, times=LOOKS_BEFORE_AN_IMPLIED_FAILURE, every=timedelta(seconds=5))

        assert [change.task.status for change in changes] == [Status.RUNNING, Status.RUNNING, Status.FAILED]
        assert changes[-1].task.fail_reason == "上游任务超时"
        assert changes[-1].event is not None
        assert "status said RUNNING" in (changes[-1].event.note or "")

    def test_a_silent_status_is_named_as_such(self) -> None:
        silent = replace(self.STUCK, status=None, upstream_status="")

        changes = look_often(TASK, silent, times=3, every=MINUTE)

        assert changes[-1].event is not None
        assert "status said nothing" in (changes[-1].event.note or "")

    def test_a_success_after_it_is_a_success(self) -> None:
        task = look_often(TASK, self.STUCK, times=2, every=MINUTE)[-1].task

        assert look(task, snap(Status.SUCCEEDED)).task.status is Status.SUCCEEDED


class TestDrop:
    def test_a_live_task_is_dropped_with_a_note(self) -> None:
        change = drop(TASK, START, "told to")

        assert change.task.status is Status.DROPPED
        assert change.event is not None
        assert change.event.note == "told to"
        assert change.event.upstream_status is None

    @pytest.mark.parametrize("end", ENDS)
    def test_an_ended_task_stays_as_it_is(self, end: Status) -> None:
        ended = replace(TASK, status=end, ended_at=START)

        assert drop(ended, START + MINUTE, "told to") == Change(task=ended)


class TestMessages:
    @pytest.mark.parametrize(
        ("kind", "to_status", "message"),
        [
            (EventKind.STATUS, Status.SUCCEEDED, MessageType.SUCCEEDED),
            (EventKind.STATUS, Status.FAILED, MessageType.FAILED),
            (EventKind.STATUS, Status.CANCELLED, MessageType.CANCELLED),
            (EventKind.STATUS, Status.LOST, MessageType.LOST),
            (EventKind.STATUS, Status.EXPIRED, MessageType.EXPIRED),
            (EventKind.STATUS, Status.NEEDS_INPUT, MessageType.NEEDS_INPUT),
            (EventKind.STATUS, Status.RUNNING, MessageType.PROGRESS),
            (EventKind.STATUS, Status.QUEUED, MessageType.PROGRESS),
            (EventKind.STATUS, Status.DROPPED, None),
            (EventKind.STATUS, None, None),
            (EventKind.PROGRESS, None, MessageType.PROGRESS),
            (EventKind.REGISTERED, None, None),
            (EventKind.CONTRADICTION, Status.SUCCEEDED, None),
            (EventKind.DELIVERED, None, None),
        ],
    )
    def test_each_event_is_told_as_one_type_or_not_at_all(
        self, kind: EventKind, to_status: Status | None, message: MessageType | None
    ) -> None:
        event = Event(sequence=1, kind=kind, observed_at=START, to_status=to_status)

        assert message_for(event) is message

    @pytest.mark.parametrize(
        ("events", "wanted"),
        [
            (("ended",), {"succeeded", "failed", "cancelled", "lost", "expired"}),
            (("failed", "lost"), {"failed", "lost"}),
            (("ended", "progress"), {"succeeded", "failed", "cancelled", "lost", "expired", "progress"}),
            (("needs_input",), {"needs_input"}),
            ((), set()),
        ],
    )
    def test_a_callback_wants_what_its_filter_names(self, events: tuple[str, ...], wanted: set[str]) -> None:
        callback = Callback(key=1, task_key=1, owner="admin", url="https://host/hook", events=events)

        told = {str(one).removeprefix("task.") for one in MessageType if callback.wants(one)}

        assert told == wanted


class TestFingerprint:
    def test_equal_news_has_an_equal_fingerprint_whatever_the_image(self) -> None:
        one = snap(Status.RUNNING, progress=3, image_url="https://host/1?rand=1", object={"displays": 1})
        other = snap(Status.RUNNING, progress=3, image_url="https://host/1?rand=2", object={"displays": 2})

        assert one.fingerprint == other.fingerprint
        assert one.fingerprint != replace(one, progress=4).fingerprint


class TestPreviews:
    PREVIEW = replace(TASK, status=Status.RUNNING, image_url="https://host/preview")

    @pytest.mark.parametrize("status", UPSTREAM_ENDS)
    def test_an_end_has_the_image_that_its_own_answer_names_or_none(self, status: Status) -> None:
        assert look(self.PREVIEW, snap(status)).task.image_url is None
        assert look(self.PREVIEW, snap(status, image_url="https://host/1")).task.image_url == "https://host/1"

    def test_a_task_that_expires_or_is_lost_has_no_result(self) -> None:
        expired = look(self.PREVIEW, snap(Status.RUNNING, image_url="https://host/preview"), FAR).task
        lost = look_often(self.PREVIEW, miss(MissKind.UNKNOWN), times=5, every=RULES.lost_after)[-1].task

        assert (expired.status, expired.image_url) == (Status.EXPIRED, None)
        assert (lost.status, lost.image_url) == (Status.LOST, None)

    def test_while_it_runs_silence_takes_no_preview_away(self) -> None:
        assert look(self.PREVIEW, snap(Status.RUNNING, progress=7)).task.image_url == "https://host/preview"
