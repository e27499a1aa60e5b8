"""One line of time on a task's page: nothing that happened is left out, and nothing is told twice."""

from typing import Any

from tracker.web.timeline import timeline

MADE = "2026-11-22T08:00:00.000Z"


def event(kind: str, note: str | None = None) -> Any:  # noqa: ANN401 - a part of what the API tells
    return {
        "sequence": 1,
        "event": kind,
        "observed_at": MADE,
        "from_status": None,
        "to_status": None,
        "upstream_status": None,
        "progress": None,
        "note": note,
    }


def message(id_: str, *attempts: int) -> Any:  # noqa: ANN401 - a part of what the API tells
    tries = [{"attempt": number, "attempted_at": MADE, "outcome": "failed"} for number in attempts]
    return {"id": id_, "status": "delivered", "created_at": MADE, "next_attempt_at": None, "attempts": tries}


def failed(id_: str, attempt: int) -> Any:  # noqa: ANN401 - a part of what the API tells
    return event("delivery_failed", f"task.succeeded {id_} to https://a.example, attempt {attempt}: HTTP 500")


def test_what_history_says_of_an_attempt_that_is_known_in_full_is_told_once() -> None:
    entries = timeline([failed("msg_a", 1)], [message("msg_a", 1)])

    assert sorted(entry.kind for entry in entries) == ["attempt", "message"]


def test_attempts_that_were_tidied_away_are_still_told_by_history() -> None:
    entries = timeline([failed("msg_a", 1), failed("msg_a", 2), failed("msg_b", 1)], [message("msg_a", 2)])

    told = [entry.event["note"] for entry in entries if entry.event]
    assert len(told) == 2
    assert "msg_a to https://a.example, attempt 1:" in (told[0] or "")
    assert "msg_b" in (told[1] or "")


def test_a_callback_that_is_gone_is_told_beside_its_attempts() -> None:
    gone = event("delivery_dead", "task.succeeded msg_a to https://a.example: its callback is gone")

    entries = timeline([gone], [message("msg_a", 1)])

    assert [entry.event for entry in entries if entry.event] == [gone]
