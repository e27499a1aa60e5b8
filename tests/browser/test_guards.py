"""The guards of the other tests do notice: each is shown the fault that it is there for."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from _pytest.outcomes import Failed, Skipped

from browser.chromium import running_chromium
from browser.visiting import Visiting

POLICY = "default-src 'none'; script-src 'self'; img-src 'self' http://other.example"
GOOD = "<h1>Tasks</h1><p>All is well.</p>"
FAULTS = {
    "script in the page": ("<h1>Tasks</h1><script>let one = 1;</script>", "refused by the policy: script-src"),
    "style in the page": ('<h1 style="color: red">Tasks</h1>', "refused by the policy: style-src"),
    "script that fails": ('<h1>Tasks</h1><script src="/failing.js"></script>', "script failed: "),
    "complaint": ('<h1>Tasks</h1><script src="/complaining.js"></script>', "console: no good"),
    "missing file": ('<h1>Tasks</h1><img src="/nowhere.png" alt="nothing">', "console: Failed to load resource"),
    "another host": (
        '<h1>Tasks</h1><img src="http://other.example/a.png" alt="a">',
        "another host was asked: http://other.example/a.png",
    ),
    "field without a label": ("<h1>Tasks</h1><input>", "not for everybody: label"),
    "too wide": ("<h1>Tasks</h1><p><svg width=2000 height=9></svg></p>", "wider than the window: 20"),
}
SCRIPTS = {"/failing.js": "nothing.at.all()", "/complaining.js": "console.error('no good')"}


@contextmanager
def showing(body: str) -> Iterator[str]:
    """A server with one page."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found, kind = SCRIPTS.get(self.path), "text/javascript"
            if self.path == "/":
                kind = "text/html; charset=utf-8"
                found = f"<!doctype html><html lang=en><link rel=icon href=/icon.js><title>t</title><main>{body}</main>"
            self.send_response(404 if found is None and self.path == "/nowhere.png" else 200)
            self.send_header("content-type", kind)
            self.send_header("content-security-policy", POLICY)
            self.end_headers()
            self.wfile.write((found or "").encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_noticed(fault: str, visiting: Visiting) -> None:
    body, expected = FAULTS[fault]
    with showing(body) as origin:
        visitor = visiting.open(origin)

        visitor.visit("/")
        visitor.page.wait_for_load_state("networkidle")

        noticed = visitor.unforgiven()
    assert any(expected in problem for problem in noticed), noticed
    visitor.forgive(".")


@pytest.mark.parametrize("script", [True, False])
def test_a_page_without_fault_has_none(*, script: bool, visiting: Visiting) -> None:
    with showing(GOOD) as origin:
        visitor = visiting.open(origin, script=script)

        visitor.visit("/")

        assert visitor.unforgiven() == []


def test_what_is_too_wide_is_noticed_without_script_too(visiting: Visiting) -> None:
    with showing(FAULTS["too wide"][0]) as origin:
        visitor = visiting.open(origin, script=False, phone=True)

        visitor.visit("/")

        assert any("wider than the window" in problem for problem in visitor.unforgiven())
    visitor.forgive(".")


@pytest.mark.parametrize(("wanted", "outcome"), [("1", Failed), ("0", Skipped)])
def test_without_a_browser_nothing_passes(
    wanted: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the page must not go untested its tests fail, elsewhere they are skipped; both say what is missing."""
    monkeypatch.setenv("TRACKER_TEST_BROWSER", wanted)
    monkeypatch.setenv("PATH", "")

    with pytest.raises(outcome, match="apt-get install chromium"), running_chromium():
        pass
