"""Somebody at a browser, who notices everything that must not be on any page."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, Response

from browser.chromium import WITHIN_MS

AXE = (Path(__file__).parent / "vendored" / "axe.min.js").read_text()
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", event =>
  console.error(`refused by the policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""
FIND_AXE_VIOLATIONS = """
async () => (await axe.run(document, {resultTypes: ["violations"]})).violations.flatMap(
  found => found.nodes.map(node => `${found.id}: ${node.target.join(" ")} ${node.failureSummary}`))
"""
# What sticks out to the right, innermost first; what scrolls within itself does not count.
FIND_WIDE = """
() => {
  const room = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= room) return [];
  const wide = [...document.body.querySelectorAll("*")].filter(found => found.getBoundingClientRect().right > room + 1);
  return [`${document.documentElement.scrollWidth} > ${room}: ` + wide.slice(-3).map(
    found => `${found.tagName.toLowerCase()}.${found.className}#${found.id}`).join(", ")];
}
"""


@dataclass
class Visitor:
    """A browser window with one page; `problems` are what it noticed, and a test that leaves some has failed."""

    context: BrowserContext
    origin: str
    has_script: bool = True
    problems: list[str] = field(default_factory=list)
    forgiven: list[str] = field(default_factory=list)
    """Patterns of problems that a test brings about itself."""
    page: Page = field(init=False)

    def __post_init__(self) -> None:
        self.context.add_init_script(TELL_VIOLATIONS)
        self.page = self.context.new_page()
        self.page.set_default_timeout(WITHIN_MS)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self._notice(f"script failed: {error}"))
        self.page.on("request", self._watch)

    def visit(self, path: str) -> Response:
        """Go to a page, which must be there, and look at it with every guard."""
        answer = self.go(path)
        assert answer.status == 200, f"{path}: {answer.status}"
        self.look()
        return answer

    def go(self, path: str) -> Response:
        """Go to a page, whatever it answers."""
        answer = self.page.goto(f"{self.origin}{path}")
        assert answer is not None
        return answer

    def look(self) -> None:
        """What is on the page must be within its width, and, as far as a machine can tell, for everybody."""
        self.look_at_width()
        if self.has_script:
            if not self.page.evaluate("'axe' in window"):
                self.page.evaluate(AXE)
            self._find(FIND_AXE_VIOLATIONS, "not for everybody")

    def look_at_width(self) -> None:
        self._find(FIND_WIDE, "wider than the window")

    def forgive(self, *patterns: str) -> None:
        """Say which problems a test brings about itself."""
        self.forgiven.extend(patterns)

    def unforgiven(self) -> Sequence[str]:
        """All that it noticed up to now."""
        self.page.evaluate("1")  # what the browser said before this has been heard afterwards
        return [problem for problem in self.problems if not any(re.search(one, problem) for one in self.forgiven)]

    def text(self, selector: str = "main") -> str:
        """What can be read there."""
        return self.page.locator(selector).inner_text()

    def _find(self, script: str, name: str) -> None:
        found: list[Any] = self.page.evaluate(script)
        for one in found:
            self._notice(f"{name}: {one}")

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning", "assert"}:
            self._notice(f"console: {message.text}")

    def _watch(self, request: Request) -> None:
        asked = urlsplit(request.url)
        if f"{asked.scheme}://{asked.netloc}" != self.origin and asked.scheme != "data":
            self._notice(f"another host was asked: {request.url}")

    def _notice(self, problem: str) -> None:
        where = urlsplit(self.page.url)
        self.problems.append(f"{where.path}?{where.query}: {problem}")
