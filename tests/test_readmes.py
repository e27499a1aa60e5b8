"""The README says the same in each language."""

import re
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).parent.parent
ENGLISH, CHINESE = ((ROOT / name).read_text() for name in ("README.md", "README.zh-CN.md"))
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def sections(text: str) -> list[str]:
    """What stands below each heading; the first is what stands above them."""
    return re.split(r"^## ", text, flags=re.MULTILINE)


def named(section: str) -> set[str]:
    """The names, settings, commands and addresses in a section's sentences."""
    prose = FENCED.sub("", section)
    links = set(re.findall(r"\]\(([^)]+)\)", prose)) - {"README.md", "README.zh-CN.md"}
    return links | set(re.findall(r"`([^`]+)`", prose))


def test_each_leads_to_the_other_in_its_first_lines() -> None:
    assert "(README.zh-CN.md)" in "".join(ENGLISH.splitlines()[:4])
    assert "(README.md)" in "".join(CHINESE.splitlines()[:4])


def test_both_have_the_same_commands_and_examples_in_the_same_order() -> None:
    blocks = FENCED.findall(ENGLISH)

    assert len(blocks) > 10
    assert FENCED.findall(CHINESE) == blocks


def test_both_name_the_same_things_in_each_section() -> None:
    for english, chinese in zip_longest(sections(ENGLISH), sections(CHINESE), fillvalue=""):
        assert named(chinese) == named(english), english.splitlines()[0]


def test_both_show_the_same_pictures() -> None:
    pictures = r"""!\[[^]]*\]\(([^)]+)\)|(?:src|srcset)="([^"]+)\""""

    assert re.findall(pictures, CHINESE) == re.findall(pictures, ENGLISH)


def test_links_of_the_chinese_one_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)[#)]", CHINESE):
        assert (ROOT / target).exists(), target
