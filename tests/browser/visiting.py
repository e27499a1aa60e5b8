"""Opens windows of the browser, of each kind: language, light or dark, wide or phone, with script or without."""

from dataclasses import dataclass, field
from typing import Literal

from playwright.sync_api import BrowserContext, StorageState

from browser.chromium import Chromium
from browser.visitor import PHONE, WIDE, Visitor
from browser.world import World

Language = Literal["en", "zh-CN"]
Scheme = Literal["light", "dark"]


@dataclass
class Visiting:
    """All windows of one test."""

    chromium: Chromium
    visitors: list[Visitor] = field(default_factory=list)

    def open(
        self,
        origin: str,
        *,
        language: Language = "en",
        scheme: Scheme = "light",
        phone: bool = False,
        script: bool = True,
        state: StorageState | None = None,
    ) -> Visitor:
        """A new window that remembers nothing but `state`."""
        context: BrowserContext = self.chromium.browser.new_context(
            locale=language,
            color_scheme=scheme,
            viewport=PHONE if phone else WIDE,  # type: ignore[arg-type]
            java_script_enabled=script,
            storage_state=state,
            timezone_id="Asia/Shanghai",
        )
        visitor = Visitor(context, origin, has_script=script)
        self.visitors.append(visitor)
        return visitor

    def enter(
        self,
        world: World,
        who: str = "admin",
        *,
        language: Language = "en",
        scheme: Scheme = "light",
        phone: bool = False,
        script: bool = True,
    ) -> Visitor:
        """A new window of somebody who is signed in with this token of the world."""
        key = f"{world.origin} {who}"
        if key not in self.chromium.states:
            context = self.chromium.browser.new_context()
            sign_in(Visitor(context, world.origin), world.tokens[who])
            self.chromium.states[key] = context.storage_state()
            context.close()
        state = self.chromium.states[key]
        return self.open(world.origin, language=language, scheme=scheme, phone=phone, script=script, state=state)

    def close(self) -> list[str]:
        """Close them all, and return what they noticed."""
        problems = [problem for visitor in self.visitors for problem in visitor.unforgiven()]
        for visitor in self.visitors:
            visitor.context.close()
        self.visitors.clear()
        return problems


def sign_in(visitor: Visitor, token: str) -> None:
    """Type a token into the form, and send it with Enter."""
    visitor.go("/sign-in")
    visitor.page.locator("input[name=token]").fill(token)
    visitor.page.locator("input[name=token]").press("Enter")
    visitor.page.wait_for_url(lambda url: "/sign-in" not in url)
