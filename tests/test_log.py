"""What is logged, how it looks, and what never is."""

import io
import json
import logging
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
import structlog
from pydantic import SecretStr

from tracker import log


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class FullDisk(io.StringIO):
    def write(self, _text: str) -> int:
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def lines() -> io.StringIO:
    """Where a log of JSON lines at level info goes."""
    stream = io.StringIO()
    log.configure(format="json", level="info", stream=stream)
    return stream


def fail(text: str) -> None:
    kept = ["hush", "local"]
    raise ValueError(text, *kept[2:])


def events(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_begins_with_moment_level_and_event(lines: io.StringIO) -> None:
    structlog.get_logger().info("task_ended", task_id="17", status="succeeded")

    (event,) = events(lines)
    assert list(event) == ["at", "level", "event", "task_id", "status"]
    assert event["level"] == "info"
    assert event["event"] == "task_ended"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", str(event["at"]))


def test_what_was_bound_before_is_told_too(lines: io.StringIO) -> None:
    structlog.contextvars.bind_contextvars(loop="poller")

    structlog.get_logger().bind(upstream="default").info("paused")

    assert events(lines)[0].items() >= {"loop": "poller", "upstream": "default"}.items()


@pytest.mark.parametrize(
    ("level", "told"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_events_below_the_level_are_not_told(level: str, told: list[str]) -> None:
    stream = io.StringIO()
    log.configure(format="json", level=level, stream=stream)

    for method in ("debug", "info", "warning", "error"):
        getattr(structlog.get_logger(), method)("said")

    assert [event["level"] for event in events(stream)] == told


@pytest.mark.parametrize(
    ("method", "prefix"),
    [("debug", "<7>"), ("info", "<6>"), ("warning", "<4>"), ("error", "<3>"), ("critical", "<2>")],
)
def test_the_journal_gets_its_level_in_front(method: str, prefix: str) -> None:
    stream = io.StringIO()
    log.configure(format="auto", level="debug", stream=stream, journal=True)

    getattr(structlog.get_logger(), method)("said")

    assert stream.getvalue().startswith(prefix + "{")
    assert json.loads(stream.getvalue().removeprefix(prefix))["event"] == "said"


@pytest.mark.parametrize(
    ("format_", "stream", "is_json", "has_colours"),
    [
        ("auto", io.StringIO(), True, False),
        ("auto", Terminal(), False, True),
        ("json", Terminal(), True, False),
        ("console", io.StringIO(), False, False),
        ("console", Terminal(), False, True),
    ],
)
def test_the_format_follows_the_setting_and_the_terminal(
    format_: str, stream: io.StringIO, *, is_json: bool, has_colours: bool
) -> None:
    log.configure(format=format_, level="info", stream=stream)

    structlog.get_logger().info("said")

    assert stream.getvalue().startswith("{") is is_json
    assert ("\x1b[" in stream.getvalue()) is has_colours


def test_standard_error_is_where_events_go(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(format="json", level="info")

    structlog.get_logger().info("said")

    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["event"] == "said"


@pytest.mark.parametrize(
    "key", ["token", "upstream_token", "secret", "Authorization", "webhook-signature", "db_password", "SECRETS"]
)
def test_keys_that_name_a_secret_tell_nothing(lines: io.StringIO, key: str) -> None:
    structlog.get_logger().info("said", **{key: "hush", "nested": {key: ["hush"]}})

    assert "hush" not in lines.getvalue()
    (event,) = events(lines)
    assert event[key] == "[redacted]"
    assert event["nested"] == {key: "[redacted]"}


SECRETS = [
    ("signed with whsec_c2VjcmV0+/== today", "signed with [redacted] today"),
    ("trk_AbC-123_x", "[redacted]"),
    ("Authorization: Bearer abc.def-123", "Authorization: [redacted]"),
    ("bearer xyz", "[redacted]"),
    ("v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=", "[redacted]"),
    ("postgresql://joe:hush@db/tracker", "postgresql://[redacted]@db/tracker"),
    ("GET /x?api_token=hush&a=1", "GET /x?api_[redacted]&a=1"),
    ("{'token': 'hush', 'a': 1}", "{'[redacted], 'a': 1}"),
    ('password="hush"', "[redacted]"),
    ("task 17 is a token of esteem", "task 17 is a token of esteem"),
    ("upstreams.default.token: is empty", "upstreams.default.token: is empty"),
]


@pytest.mark.parametrize(("said", "told"), SECRETS)
def test_texts_that_look_like_a_secret_are_replaced(lines: io.StringIO, said: str, told: str) -> None:
    structlog.get_logger().info(said, value=said, listed=[(said,)], error=ValueError(said))

    (event,) = events(lines)
    assert event["event"] == told
    assert event["value"] == told
    assert event["listed"] == [[told]]
    assert event["error"] == f"ValueError: {told}"


@pytest.mark.parametrize("format_", ["json", "console"])
def test_exceptions_are_told_without_secrets(format_: str) -> None:
    stream = io.StringIO()
    log.configure(format=format_, level="info", stream=stream)
    try:
        fail("refused: Bearer hush")
    except ValueError:
        structlog.get_logger().exception("look_failed")

    assert "Traceback" in stream.getvalue()
    assert "ValueError: refused: [redacted]" in stream.getvalue()
    assert "Bearer hush" not in stream.getvalue()
    assert "['hush', 'local']" not in stream.getvalue()


def test_an_exception_is_one_field_of_one_line(lines: io.StringIO) -> None:
    try:
        fail("no")
    except ValueError:
        structlog.get_logger().exception("look_failed")

    (event,) = events(lines)
    assert str(event["exception"]).startswith("Traceback")
    assert event["level"] == "error"


def test_values_that_json_does_not_know_are_told_as_text(lines: io.StringIO) -> None:
    circle: list[object] = []
    circle.append(circle)

    structlog.get_logger().info("said", a=timedelta(seconds=5), b=float("nan"), c=SecretStr("hush"), d={1}, e=circle)

    (event,) = events(lines)
    assert (event["a"], event["b"], event["c"], event["d"]) == ("0:00:05", "nan", "**********", [1])


def test_a_line_is_one_line_with_a_space_after_each_sign_and_letters_as_they_are(lines: io.StringIO) -> None:
    structlog.get_logger().info("said", text="\u706f\n", number=1)

    assert lines.getvalue().endswith('Z", "level": "info", "event": "said", "text": "\u706f\\n", "number": 1}\n')


def test_numbers_without_end_and_half_characters_are_told(lines: io.StringIO) -> None:
    structlog.get_logger().info("said", number=2**70, text="\ud800")

    (event,) = events(lines)
    assert (event["number"], event["text"]) == (2**70, "\ud800")


def test_what_is_said_cannot_steer_the_terminal() -> None:
    stream = io.StringIO()
    log.configure(format="console", level="info", stream=stream)

    structlog.get_logger().info("said\nforged", reason="\x1b[2J\r")

    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()
    assert "\r" not in stream.getvalue()


@pytest.mark.parametrize("name", ["uvicorn.error", "apscheduler.scheduler", "sqlalchemy.engine", "alembic", "other"])
def test_warnings_of_libraries_look_like_our_own(lines: io.StringIO, name: str) -> None:
    logging.getLogger(name).info("not told")
    logging.getLogger(name).warning("job %s missed, token='hush'", 3)

    (event,) = events(lines)
    assert list(event)[:3] == ["at", "level", "event"]
    assert event["event"] == "job 3 missed, [redacted]"
    assert event["level"] == "warning"
    assert event["logger"] == name


def test_libraries_stay_below_the_level_too() -> None:
    stream = io.StringIO()
    log.configure(format="json", level="error", stream=stream)

    logging.getLogger("uvicorn").warning("not told")
    logging.getLogger("uvicorn").log(45, "told")

    assert [(event["event"], event["level"]) for event in events(stream)] == [("told", "error")]


def test_exceptions_of_libraries_are_told(lines: io.StringIO) -> None:
    try:
        fail("no")
    except ValueError:
        logging.getLogger("asyncio").exception("callback failed")

    assert "ValueError: no" in str(events(lines)[0]["exception"])


def test_handlers_that_libraries_brought_are_taken_away(lines: io.StringIO) -> None:
    own = io.StringIO()
    logging.getLogger("uvicorn").addHandler(logging.StreamHandler(own))
    logging.getLogger("uvicorn").propagate = False

    log.configure(format="json", level="info", stream=lines)
    logging.getLogger("uvicorn").warning("said")

    assert own.getvalue() == ""
    assert [event["event"] for event in events(lines)] == ["said"]


def test_configuring_twice_tells_everything_once(lines: io.StringIO) -> None:
    log.configure(format="json", level="info", stream=lines)

    structlog.get_logger().info("own")
    logging.getLogger("other").warning("library")

    assert [event["event"] for event in events(lines)] == ["own", "library"]


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_log_that_cannot_be_written_stops_nobody(*, is_closed: bool) -> None:
    stream = FullDisk()
    log.configure(format="json", level="info", stream=stream)
    if is_closed:
        stream.close()

    structlog.get_logger().info("said")
    logging.getLogger("other").warning("said")
