"""What a page points to is there."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import PAGES, ROOT
from tests.markdown import Page


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    """A relative link names a file that exists, and after # a heading in it."""
    page = PAGES[name]
    for link in page.links():
        if "://" not in link and not link.startswith("mailto:"):
            target, _, anchor = link.partition("#")
            path = (page.path.parent / target).resolve() if target else page.path
            assert path.exists(), link
            assert not anchor or anchor in Page(path).anchors(), link


@pytest.mark.parametrize("name", PAGES)
def test_no_two_sections_of_a_page_have_the_same_link(name: str) -> None:
    """An anchor leads to one place."""
    headings = PAGES[name].headings()
    assert not [heading for heading in headings if headings.count(heading) > 1]


@pytest.mark.parametrize(("index", "folder"), [("docs/README.md", "docs"), ("docs/adr/README.md", "docs/adr")])
def test_an_index_lists_every_page_of_its_folder(index: str, folder: str) -> None:
    """A page that nobody links to is read by nobody."""
    pages = {path.name for path in (ROOT / folder).glob("*.md")} - {"README.md"}
    assert pages <= {*PAGES[index].links()}


def test_the_security_page_names_tests_that_exist() -> None:
    """Each test that is said to show a provision is there."""
    named = set(re.findall(r"`((?:tests|scripts)/[\w/.-]+)`", PAGES["docs/security.md"].text))
    assert len(named) > 15
    assert not [name for name in sorted(named) if not (ROOT / name).exists()]
