"""Opens windows of the browser, of each kind: language, light or dark, wide or phone, with script or without."""

from dataclasses import dataclass, field
from typing import Literal

from browser.chromium import Chromium
from browser.visitor import PHONE, WIDE, Visitor
from playwright.sync_api import BrowserContext, StorageState

Language = Literal["en", "zh-CN"]
Scheme = Literal["light", "dark"]


@dataclass
class Visiting:
    """All windows of one test."""

    chromium: Chromium
    visitors: list[Visitor] = field(default_factory=list)

    def open(  # noqa: PLR0913 - each names itself
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

    def close(self) -> list[str]:
        """Close them all, and return what they noticed."""
        problems = [problem for visitor in self.visitors for problem in visitor.unforgiven()]
        for visitor in self.visitors:
            visitor.context.close()
        self.visitors.clear()
        return problems
