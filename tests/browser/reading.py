"""What a person sees at once and a machine has to look for: a text in another language, a page that is not dark."""

from browser.visitor import Visitor

# What can be read or is read out, but for what is data or names: code, what people wrote, what says its own language.
READ = """
() => {
  const ours = document.documentElement.lang, found = [];
  const isData = one => one.closest("code, pre, [translate=no], script, style, textarea, [data-word]")
    || one.closest("[lang]").lang !== ours;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text; (text = walker.nextNode());) if (!isData(text.parentElement)) found.push(text.data);
  const told = ["title", "aria-label", "placeholder", "alt", "data-confirm", "data-label", "data-copied", "data-on",
    "data-off", "data-away"];
  for (const one of document.querySelectorAll(told.map(name => `[${name}]`).join()))
    if (!isData(one)) for (const name of told) if (one.hasAttribute(name)) found.push(one.getAttribute(name));
  return [document.title, ...found].map(text => text.trim().replace(/\\s+/g, " ")).filter(text => text);
}
"""
BRIGHTNESS = """
() => {
  const [red, green, blue] = getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).map(Number);
  return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255;
}
"""


def texts_of(visitor: Visitor) -> list[str]:
    """All that is written on the page by us."""
    found: list[str] = visitor.page.evaluate(READ)
    return found


def is_dark(visitor: Visitor) -> bool:
    brightness: float = visitor.page.evaluate(BRIGHTNESS)
    assert not 0.3 < brightness < 0.7
    return brightness < 0.5
