"""Everything can be done without a mouse."""

from playwright.sync_api import expect

from browser.scene import Scene
from browser.visiting import Visiting
from browser.visitor import Visitor
from tracker.simulate import Ending

FOCUSED = "() => { const one = document.activeElement; return `${one.tagName} ${one.id} ${one.textContent.trim()}`; }"
# Where the ring is: around the element itself or its surroundings, and not of the colour of the ground.
RING = """
() => {
  const style = getComputedStyle(document.activeElement);
  return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
}
"""
IS_SEEN = """
() => {
  const place = document.activeElement.getBoundingClientRect();
  return place.width > 0 && place.right > 0 && place.bottom > 0 && place.top < innerHeight;
}
"""
REFRESHED = """
async () => {
  const swapped = new Promise((done) => document.addEventListener("htmx:after:swap", done, { once: true }));
  document.body.dispatchEvent(new CustomEvent("changed"));
  await swapped;
  for (let frame = 0; frame < 3; frame += 1) await new Promise(requestAnimationFrame);
}
"""
MOST_STEPS = 400


def stops(visitor: Visitor) -> list[str]:
    """Where Tab leads, from the first stop to the last; each must be seen and have a ring."""
    found: list[str] = []
    for _ in range(MOST_STEPS):
        visitor.page.keyboard.press("Tab")
        now: str = visitor.page.evaluate(FOCUSED)
        if now.startswith(("BODY", "HTML")):
            return found
        assert visitor.page.evaluate(IS_SEEN), now
        assert visitor.page.evaluate(RING), now
        found.append(now)
    raise AssertionError(found)


def test_the_first_stop_leads_past_the_navigation(scene: Scene, visiting: Visiting) -> None:
    visitor = visiting.enter(scene.world)
    visitor.go("/tasks")

    visitor.page.keyboard.press("Tab")
    assert "Skip to the content" in visitor.page.evaluate(FOCUSED)
    assert visitor.page.evaluate(IS_SEEN)
    visitor.page.keyboard.press("Enter")
    visitor.page.keyboard.press("Tab")

    assert visitor.page.evaluate("() => document.querySelector('main').contains(document.activeElement)")


def test_whoever_tabs_sees_where_they_are(scene: Scene, visiting: Visiting) -> None:
    visitor = visiting.enter(scene.world)
    for address in ("/register", scene.address("/tasks/{id}"), scene.address("/deliveries/{id} of a dead one")):
        visitor.go(address)

        found = stops(visitor)

        assert any("Sign out" in stop for stop in found)
        assert len(found) > 10


def test_a_task_is_registered_with_keys_alone(scene: Scene, visiting: Visiting) -> None:
    visitor = visiting.enter(scene.world, "write")
    task_id = scene.world.gateway.submit("typed by hand", ending=Ending.SUCCESS)
    visitor.go("/register")

    while not visitor.page.evaluate("() => document.activeElement.name === 'task_id'"):
        visitor.page.keyboard.press("Tab")
    visitor.page.keyboard.type(task_id)
    visitor.page.keyboard.press("Enter")

    expect(visitor.page.locator("main")).to_contain_text(task_id)
    expect(visitor.page.get_by_role("status")).to_be_visible()


def test_whoever_tabs_stays_where_they_are_while_the_page_stays_fresh(scene: Scene, visiting: Visiting) -> None:
    visitor = visiting.enter(scene.world)
    visitor.go(scene.address("/tasks/{id}"))
    button = visitor.page.locator("#live button.copy").first
    button.focus()

    visitor.page.evaluate(REFRESHED)

    expect(button).to_be_focused()
    expect(button).to_be_visible()
