"""Every answer that servers of the Midjourney-proxy family are known to give."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from midjourney_fakes import ASKED, HTML, NO_SUCH_TASK, SAMPLE, reply, task

from tracker.model import Miss, MissKind
from tracker.providers.midjourney import Reply
from tracker.providers.midjourney.answers import is_upstream_wide, task_in, tasks_in


class TestUnknownIds:
    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(reply(b""), id="novicezk: 200 empty"),
            pytest.param(reply(b" \r\n"), id="200 blank"),
            pytest.param(reply(b"", 204), id="trueai: 204"),
            pytest.param(reply(NO_SUCH_TASK, 400), id="new-api: 400"),
            pytest.param(reply(NO_SUCH_TASK), id="the same with 200"),
            pytest.param(reply({"code": 4, "description": "该数据不存在"}, 400), id="code 4 in other words"),
            pytest.param(reply({"code": 4, "description": "mj not found"}, 400), id="code 4, not found"),
            pytest.param(reply({"code": "4", "description": ""}), id="code 4 as text"),
            pytest.param(
                reply({"code": 3, "description": "关联任务不存在或已失效"}, 400), id="code 3 is the proxies' not found"
            ),
            pytest.param(reply({"code": 3, "description": "数据未找到"}), id="code 3 with 200"),
            pytest.param(reply({"code": "task_not_exist", "message": "task_not_exist", "data": None}, 400), id="tasks"),
            pytest.param(reply({"code": "task_not_exist", "message": "m", "data": None}), id="tasks with 200"),
            pytest.param(reply({"code": "task_not_exist", "message": "m"}, 404), id="one-hub: 404"),
            pytest.param(reply(b"", 404), id="404 empty"),
            pytest.param(reply({"code": 404, "msg": "", "data": None}, 404), id="404 without words"),
            pytest.param(reply({}, 404), id="404 {}"),
            pytest.param(reply({"success": False}, 404), id="404 without words, no success"),
            pytest.param(reply(b"null", 404), id="404 null"),
            pytest.param(reply({"message": "Task not found."}, 404), id="404 JSON in words"),
            pytest.param(reply({"msg": "record not found"}, 404), id="404 of a row"),
            pytest.param(reply(b"task not found", 404, content_type="text/plain"), id="404 in words"),
            pytest.param(reply({"error": "gone"}, 410), id="410"),
            pytest.param(reply(b"null"), id="200 null"),
            pytest.param(reply({"code": 200, "data": {}}), id="numeric code, empty data"),
            pytest.param(reply({"code": 0, "msg": "ok", "data": None}), id="numeric code, no data"),
            pytest.param(reply({"code": 404, "msg": "", "data": None}), id="HTTP's code in the body, no data"),
            pytest.param(reply({"code": 1, "data": []}), id="numeric code, empty list"),
            pytest.param(reply({"code": 0, "msg": "not found", "data": None}), id="no data, in words"),
            pytest.param(reply({"code": "success", "data": None}), id="success without data"),
            pytest.param(reply({"status": "Task not found"}), id="a status that says so"),
            pytest.param(reply({"error": {"message": "Task 17 does not exist"}}, 400), id="named in an error"),
            pytest.param(reply({"success": False, "message": "任务不存在"}), id="named in Chinese"),
        ],
    )
    def test_each_dialect_of_no_such_task_is_understood(self, answer: Reply) -> None:
        miss = task_in(answer, ASKED)

        assert isinstance(miss, Miss)
        assert miss.kind is MissKind.UNKNOWN, miss


class TestOtherMisses:
    @pytest.mark.parametrize(
        ("answer", "kind", "words"),
        [
            (reply({"error": {"message": "无效的令牌", "type": "new_api_error"}}, 401), MissKind.REFUSED, "无效的令牌"),
            (reply(b"Authorization header missing.", 401), MissKind.REFUSED, "header missing"),
            (reply(b"", 401), MissKind.REFUSED, "HTTP 401"),
            (reply("账号不可用".encode(), 403), MissKind.REFUSED, "账号不可用"),
            (reply(HTML, 403, content_type="text/html"), MissKind.REFUSED, "HTTP 403"),
            (reply({"error": "quota"}, 402), MissKind.REFUSED, "quota"),
            (reply(NO_SUCH_TASK, 401), MissKind.REFUSED, "task_no_found"),
            (reply({"code": 401, "message": "login", "data": None}), MissKind.REFUSED, "login"),
            (reply(b"", 429), MissKind.THROTTLED, "HTTP 429"),
            (reply({"description": "饱和", "code": 30}, 429), MissKind.THROTTLED, "饱和"),
            (reply({"description": "饱和", "code": 30}, 400), MissKind.THROTTLED, "饱和"),
            (reply({"description": "饱和", "code": 30}), MissKind.THROTTLED, "饱和"),
            (reply({"code": 429, "msg": "slow down", "data": None}), MissKind.THROTTLED, "slow down"),
            (reply(b"", 408), MissKind.TRANSIENT, "HTTP 408"),
            (reply(b"", 425), MissKind.TRANSIENT, "HTTP 425"),
            (reply({"success": False, "code": -1, "message": "操作失败"}, 500), MissKind.TRANSIENT, "操作失败"),
            (reply(NO_SUCH_TASK, 500), MissKind.TRANSIENT, "HTTP 500"),
            (reply(HTML, 502, content_type="text/html"), MissKind.TRANSIENT, "HTTP 502"),
            (reply(b"", 503), MissKind.TRANSIENT, "HTTP 503"),
            (reply(SAMPLE[:90], broken="reset"), MissKind.TRANSIENT, "broke off: reset"),
            (reply({"code": 500, "message": "db", "data": None}), MissKind.TRANSIENT, "db"),
            (reply(SAMPLE[:90], truncated=True), MissKind.UNUSABLE, "larger than 8 MB"),
            (reply(SAMPLE[:90]), MissKind.UNUSABLE, "broken JSON"),
            (reply(HTML, content_type="text/html"), MissKind.UNUSABLE, "base_url"),
            (reply(HTML), MissKind.UNUSABLE, "base_url"),
            (reply(b"hello", content_type="text/html; charset=utf-8"), MissKind.UNUSABLE, "web page"),
            (reply(HTML, 404, content_type="text/html"), MissKind.UNUSABLE, "base_url"),
            (reply(b"404 page not found", 404), MissKind.UNUSABLE, "base_url"),
            (reply({"error": {"message": "Invalid URL (GET /x)"}}, 404), MissKind.UNUSABLE, "Invalid URL"),
            (reply({"status": 404, "error": "Not Found", "path": "/x"}, 404), MissKind.UNUSABLE, "base_url"),
            (reply(b"", 302), MissKind.UNUSABLE, "redirects"),
            (reply(b"", 304), MissKind.UNUSABLE, "redirects"),
            (reply(b"", 405), MissKind.UNUSABLE, "HTTP 405"),
            (reply({"detail": "Not Found"}, 404), MissKind.UNUSABLE, "Not Found; base_url"),
            (reply({"message": "Not Found"}, 404), MissKind.UNUSABLE, "base_url"),
            (reply({"message": "no Route matched with those values"}, 404), MissKind.UNUSABLE, "base_url"),
            (reply({"code": 404, "msg": "route not found"}, 404), MissKind.UNUSABLE, "base_url"),
            (reply({"code": 404, "msg": "route not found", "data": None}), MissKind.UNUSABLE, "route not found"),
            (reply({"code": 404, "msg": "Not Found", "data": None}), MissKind.UNUSABLE, "Not Found"),
            (reply({"title": "Not Found", "status": 404}, 404), MissKind.UNUSABLE, "HTTP 404"),
            (reply({"errors": [{"detail": "no"}]}, 404), MissKind.UNUSABLE, "HTTP 404"),
            (reply({"message": "try later"}, 404), MissKind.UNUSABLE, "try later"),
            (reply({"message": "GET /mj/task not found"}, 404), MissKind.UNUSABLE, "base_url"),
            (reply({"code": 0, "data": None, "message": "maintenance"}), MissKind.UNUSABLE, "maintenance"),
            (reply({"code": "success", "data": None, "message": "维护中"}), MissKind.UNUSABLE, "维护中"),
            (reply({"description": "quota_not_enough", "code": 4}, 400), MissKind.UNUSABLE, "quota_not_enough"),
            (reply({"description": "quota_not_enough", "code": 4}), MissKind.UNUSABLE, "quota_not_enough"),
            (reply({"description": "get_channel_failed", "code": 4}, 400), MissKind.UNUSABLE, "get_channel_failed"),
            (reply({"description": "channel not found", "code": 4}, 400), MissKind.UNUSABLE, "channel"),
            (reply({"description": "可用的账号实例不存在", "code": 3}, 400), MissKind.UNUSABLE, "账号"),
            (reply({"description": "unknown error", "code": 4}, 400), MissKind.UNUSABLE, "unknown error"),
            (reply({"description": "任务", "code": 4, "data": None}), MissKind.UNUSABLE, "任务"),
            (reply({"error": {"message": "", "type": "x"}}, 400), MissKind.UNUSABLE, "HTTP 400: x"),
            (reply({"description": "无效的加速模式", "code": 4}, 400), MissKind.UNUSABLE, "加速模式"),
            (reply({"error": {"message": "model not found", "code": 404}}, 400), MissKind.UNUSABLE, "model"),
            (reply({"success": False, "code": -1, "message": "禁止"}), MissKind.UNUSABLE, "禁止"),
            (reply({"success": False, "id": "1", "status": "error", "prompt": ""}), MissKind.UNUSABLE, "no task"),
            (reply({"success": False, "code": 0, "data": None}), MissKind.UNUSABLE, "no task"),
            (reply({"code": "fail", "message": "busy", "data": None}), MissKind.UNUSABLE, "busy"),
            (reply({"code": 400, "message": "bad", "data": None}), MissKind.UNUSABLE, "bad"),
            (reply({"code": 50000, "message": "db"}), MissKind.UNUSABLE, "db"),
            (reply({"code": -1, "data": None}), MissKind.UNUSABLE, "no task"),
            (reply({"error": {"message": "relayed"}}), MissKind.UNUSABLE, "relayed"),
            (reply({"error": "relayed"}), MissKind.UNUSABLE, "relayed"),
            (reply([]), MissKind.UNUSABLE, "wrong shape: []"),
            (reply("success"), MissKind.UNUSABLE, "wrong shape"),
            (reply(b"17"), MissKind.UNUSABLE, "wrong shape"),
            (reply({}), MissKind.UNUSABLE, "no task"),
            (reply({"data": {}}), MissKind.UNUSABLE, "no task"),
            (reply({"code": 1, "description": "提交成功", "result": "17"}), MissKind.UNUSABLE, "submit call"),
            (reply({"code": 22, "description": "排队中", "result": "17"}), MissKind.UNUSABLE, "submit call"),
            (reply({"status": "error", "message": "no"}), MissKind.UNUSABLE, "no"),
            (reply({"status": "fail", "failReason": "bad token"}), MissKind.UNUSABLE, "no task"),
            (reply({"id": "request-1", "status": "error"}), MissKind.UNUSABLE, "no task"),
            (reply({"id": ASKED, "status": 500}), MissKind.UNUSABLE, "no task"),
            (reply({"id": ASKED, "message": "no"}), MissKind.UNUSABLE, "no"),
            (reply({"id": True, "status": "SUCCESS"}), MissKind.UNUSABLE, "no task"),
            (reply(b'{"id":' + b"[" * 100_000), MissKind.UNUSABLE, "broken JSON"),
            (reply(b'{"id":' + b"1" * 5000 + b"}"), MissKind.UNUSABLE, "broken JSON"),
        ],
    )
    def test_each_other_answer_has_its_kind(self, answer: Reply, kind: MissKind, words: str) -> None:
        miss = task_in(answer, ASKED)

        assert isinstance(miss, Miss)
        assert miss.kind is kind, miss
        assert words in miss.detail

    def test_retry_after_is_handed_on(self) -> None:
        in_code = task_in(reply(b"", 429, retry_after=timedelta(seconds=7)), ASKED)
        in_body = task_in(reply({"code": 30}, retry_after=timedelta(seconds=8)), ASKED)

        assert isinstance(in_code, Miss)
        assert isinstance(in_body, Miss)
        assert (in_code.retry_after, in_body.retry_after) == (timedelta(seconds=7), timedelta(seconds=8))

    @given(st.binary(max_size=300), st.integers(200, 599), st.sampled_from(["application/json", "text/html", ""]))
    def test_no_bytes_make_it_raise_and_details_are_one_short_line(self, body: bytes, status: int, kind: str) -> None:
        for read in (lambda it: task_in(it, ASKED), tasks_in):
            miss = read(reply(body, status, content_type=kind))
            if isinstance(miss, Miss):
                assert len(miss.detail) < 300
                assert miss.detail.isprintable()

    def test_a_long_complaint_is_cut(self) -> None:
        miss = task_in(reply({"message": "no\x00\n " * 1000}, 400), ASKED)

        assert isinstance(miss, Miss)
        assert len(miss.detail) < 250
        assert miss.detail.endswith("…")
        assert "\x00" not in miss.detail


class TestBlame:
    @pytest.mark.parametrize(
        ("answer", "is_wide"),
        [
            (reply({"detail": "Not Found"}, 404), True),
            (reply({"message": "no Route matched with those values"}, 404), True),
            (reply({"message": "Not Found"}, 404), True),
            (reply({"code": 404, "msg": "route not found"}, 404), True),
            (reply({"code": 404, "msg": "route not found", "data": None}), True),
            (reply({"status": 404, "error": "Not Found", "path": "/x"}, 404), True),
            (reply(b"404 page not found", 404), True),
            (reply({"description": "quota_not_enough", "code": 4}, 400), True),
            (reply({"description": "quota_not_enough", "code": 4}), True),
            (reply({"description": "get_channel_failed", "code": 4}, 400), True),
            (reply({"error": {"message": "额度不足"}}, 400), True),
            (reply({"error": {"message": "invalid token"}}, 400), True),
            (reply({"message": "try later"}, 404), False),
            (reply({"detail": [{"msg": "bad id"}]}, 422), False),
            (reply({"error": {"message": "Unexpected token in id"}}, 400), False),
            (reply({"description": "parameter_error", "code": 4}, 400), False),
            (reply(NO_SUCH_TASK, 400), False),
        ],
    )
    def test_only_routes_and_accounts_concern_the_whole_upstream(self, answer: Reply, is_wide: bool) -> None:  # noqa: FBT001, a column
        miss = task_in(answer, ASKED)

        assert isinstance(miss, Miss)
        assert is_upstream_wide(answer, miss) is is_wide, miss


class TestLists:
    @pytest.mark.parametrize("wrap", [lambda it: it, lambda it: {"data": it}, lambda it: {"code": 1, "data": it}])
    def test_a_list_is_read_bare_or_in_an_envelope(self, wrap: Callable[[object], object]) -> None:
        assert tasks_in(reply(wrap([task()]))) == [task()]

    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            (reply(b""), MissKind.UNUSABLE),
            (reply(b"", 204), MissKind.UNUSABLE),
            (reply(b"null"), MissKind.UNUSABLE),
            (reply(b"[{"), MissKind.UNUSABLE),
            (reply(b"[]", truncated=True), MissKind.UNUSABLE),
            (reply(b"[]", broken="timeout"), MissKind.TRANSIENT),
            (reply(HTML), MissKind.UNUSABLE),
            (reply(NO_SUCH_TASK, 400), MissKind.UNUSABLE),
            (reply(NO_SUCH_TASK), MissKind.UNUSABLE),
            (reply(b"", 404), MissKind.UNUSABLE),
            (reply({"success": False, "data": []}), MissKind.UNUSABLE),
            (reply({"code": 30}), MissKind.THROTTLED),
            (reply(b"", 401), MissKind.REFUSED),
            (reply(b"", 500), MissKind.TRANSIENT),
        ],
    )
    def test_an_answer_that_is_no_list_says_nothing_about_ids(self, answer: Reply, kind: MissKind) -> None:
        miss = tasks_in(answer)

        assert isinstance(miss, Miss)
        assert miss.kind is kind
