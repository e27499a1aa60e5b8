"""A page stays fresh by itself, stops when told to, and does without the stream."""

import re

import pytest
from playwright.sync_api import Route, expect

from browser.scene import Scene
from browser.visiting import Visiting
from browser.visitor import Visitor
from tracker.simulate import Ending

MARK = "() => { window.isTheSamePage = true; }"
IS_THE_SAME = "() => window.isTheSamePage === true"


def open_live(visiting: Visiting, scene: Scene, address: str) -> Visitor:
    """A page whose stream is open."""
    visitor = visiting.enter(scene.world)
    visitor.go(address)
    expect(visitor.page.locator("[data-live-switch]")).to_have_attribute("data-state", "on")
    visitor.page.evaluate(MARK)
    return visitor


def test_a_task_is_seen_to_end_without_loading_the_page_again(scene: Scene, visiting: Visiting) -> None:
    task = scene.world.register("seen to its end", ending=Ending.NEVER)
    visitor = open_live(visiting, scene, f"/tasks/{task['id']}")
    live = visitor.page.locator("#live")
    expect(live).to_contain_text(re.compile(r"99\s?%"))

    scene.world.let_end(task)

    expect(live).to_contain_text("succeeded")
    expect(live).to_contain_text("delivered")
    assert visitor.page.evaluate(IS_THE_SAME)
    visitor.look()


def test_a_new_task_comes_to_the_list_by_itself(scene: Scene, visiting: Visiting) -> None:
    visitor = open_live(visiting, scene, "/tasks")

    task = scene.world.register("a newcomer", path=None)

    expect(visitor.page.locator("#live")).to_contain_text(task["task_id"])
    assert visitor.page.evaluate(IS_THE_SAME)


def test_a_page_that_is_paused_stays_as_it_is_until_it_goes_on(scene: Scene, visiting: Visiting) -> None:
    visitor = open_live(visiting, scene, "/tasks")
    switch = visitor.page.locator("[data-live-switch]")

    switch.click()
    expect(switch).to_have_attribute("aria-pressed", "false")
    asked: list[str] = []
    visitor.page.on("request", lambda request: asked.append(request.url))
    task = scene.world.register("while nobody looked", path=None)
    scene.world.wait_until_ended(task)
    visitor.page.wait_for_timeout(1_000)  # what must not happen has to be waited for
    assert asked == []

    switch.click()

    expect(visitor.page.locator("#live")).to_contain_text(task["task_id"])
    expect(switch).to_have_attribute("aria-pressed", "true")
    assert visitor.page.evaluate(IS_THE_SAME)


@pytest.mark.parametrize("failure", ["refused", "broken"])
def test_without_the_stream_the_page_asks_now_and_then(failure: str, scene: Scene, visiting: Visiting) -> None:
    def fail(route: Route) -> None:
        if failure == "refused":
            route.fulfill(status=503, body="too many pages are open")
        else:
            route.abort("connectionreset")

    visitor = visiting.enter(scene.world)
    visitor.forgive("Failed to load resource", "EventSource")
    visitor.page.clock.install()
    visitor.page.route("**/live", fail)
    visitor.go("/tasks")
    visitor.page.evaluate(MARK)
    expect(visitor.page.locator("[data-live-switch]")).to_have_attribute("data-state", "away")

    task = scene.world.register("found by asking", path=None)
    visitor.page.clock.run_for(6_000)

    expect(visitor.page.locator("#live")).to_contain_text(task["task_id"])
    assert visitor.page.evaluate(IS_THE_SAME)


def test_what_somebody_types_and_ticks_stays_over_a_refresh(scene: Scene, visiting: Visiting) -> None:
    visitor = open_live(visiting, scene, "/tasks")
    search = visitor.page.locator("input[name=q]")
    search.fill("half a wo")

    task = scene.world.register("another newcomer", path=None)

    expect(visitor.page.locator("#live")).to_contain_text(task["task_id"])
    assert search.input_value() == "half a wo"
    assert visitor.page.evaluate("() => document.activeElement.name") == "q"


def test_who_was_signed_out_elsewhere_is_led_to_sign_in(scene: Scene, visiting: Visiting) -> None:
    """Never is that form put in the middle of the page."""
    visitor = visiting.open(scene.world.origin)
    visitor.forgive("status of 401", "EventSource", "Failed to load resource")
    token = scene.world.daemon.tell("token", "create", "--owner", "admin", "--scope", "read").stdout.strip()
    visitor.go("/sign-in?next=/tasks")
    visitor.page.locator("input[name=token]").fill(token)
    visitor.page.keyboard.press("Enter")
    expect(visitor.page.locator("[data-live-switch]")).to_have_attribute("data-state", "on")

    visitor.context.clear_cookies()
    scene.world.register("news for somebody else", path=None)

    visitor.page.wait_for_url("**/sign-in**")
    assert visitor.page.locator("#token").count() == 1


def test_a_stream_that_was_refused_is_tried_again(scene: Scene, visiting: Visiting) -> None:
    visitor = visiting.enter(scene.world)
    visitor.forgive("Failed to load resource", "EventSource")
    visitor.page.clock.install()
    visitor.page.route("**/live", lambda route: route.fulfill(status=503, body="too many pages are open"), times=1)
    visitor.go("/tasks")
    switch = visitor.page.locator("[data-live-switch]")
    expect(switch).to_have_attribute("data-state", "away")

    visitor.page.clock.run_for(6_000)

    expect(switch).to_have_attribute("data-state", "on")


def test_a_page_that_nobody_sees_leaves_its_connection_to_others(scene: Scene, visiting: Visiting) -> None:
    """A browser keeps six to one host: the seventh page would never come."""
    visitor = open_live(visiting, scene, "/tasks")

    with visitor.page.expect_event("requestfailed", lambda request: request.url.endswith("/live")):
        pretend_hidden(visitor, is_hidden=True)
    task = scene.world.register("behind the back", path=None)
    scene.world.wait_until_ended(task)
    assert task["task_id"] not in visitor.text("#live")

    pretend_hidden(visitor, is_hidden=False)

    expect(visitor.page.locator("#live")).to_contain_text(task["task_id"])
    assert visitor.page.evaluate(IS_THE_SAME)


def test_a_list_waits_while_somebody_ticks_and_then_is_fresh(scene: Scene, visiting: Visiting) -> None:
    visitor = open_live(visiting, scene, "/tasks")
    box = visitor.page.locator("#live tbody input[type=checkbox]").first
    box.check()

    task = scene.world.register("not yet", path=None)
    scene.world.wait_until_ended(task)
    visitor.page.wait_for_timeout(1_000)  # what must not happen has to be waited for
    assert task["task_id"] not in visitor.text("#live")
    assert box.is_checked()

    box.uncheck()

    expect(visitor.page.locator("#live")).to_contain_text(task["task_id"])


def pretend_hidden(visitor: Visitor, *, is_hidden: bool) -> None:
    """As when another page is put in front; a browser without windows shows all."""
    told = str(is_hidden).lower()
    visitor.page.evaluate(
        f"""() => {{
             Object.defineProperty(document, "hidden", {{get: () => {told}, configurable: true}});
             document.dispatchEvent(new Event("visibilitychange"));
           }}"""
    )


def test_a_page_whose_daemon_does_not_answer_says_so_until_it_does(scene: Scene, visiting: Visiting) -> None:
    visitor = visiting.enter(scene.world)
    visitor.forgive("Failed to load resource", "EventSource", "htmx")
    visitor.page.clock.install()
    visitor.go("/")
    told = visitor.page.get_by_role("alert")
    expect(told).to_be_hidden()

    visitor.page.context.route("**/*", lambda route: route.abort("connectionrefused"))
    visitor.page.clock.run_for(11_000)
    expect(told).to_contain_text("does not answer")
    expect(visitor.page.locator("[data-live-switch]")).to_contain_text("No answer")

    visitor.page.context.unroute("**/*")
    visitor.page.clock.run_for(11_000)
    expect(told).to_be_hidden()


def test_how_long_ago_does_not_stand_still(scene: Scene, visiting: Visiting) -> None:
    # Nothing that changes is a stranger's: after the first word of the stream only the clock has it ask again.
    visitor = visiting.enter(scene.world, "stranger")
    visitor.page.clock.install()
    with visitor.page.expect_response(lambda answer: answer.request.headers.get("hx-request") == "true"):
        visitor.go("/tasks")

    with visitor.page.expect_request(lambda request: request.headers.get("hx-request") == "true"):
        visitor.page.clock.run_for(11_000)
