"""The page as markup: what stands in it, in which order, and that no name can become a part of it."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest

import quantize.report
from quantize.report import render
from quantize.report.charts import intervals, layers
from quantize.report.document import Document, Sample, Verdict
from quantize.report.html import Html, name, tag
from quantize.report.svg import Scale, ticks
from quantize.report.thumbnail import thumbnail
from tests.quantize.report.documents import BARE, HOSTILE, full, with_strings

SECTIONS = ["accuracy", "worst", "layers", "histograms", "ladder", "diagnosis", "islands", "operators", "parity", "files",
            "calibration", "provenance"]
FOLDER = Path(quantize.report.__file__).parent
VOID = {"br", "img", "link", "meta", "wbr"}


class Reader(HTMLParser):
    """The elements of a page with their attributes, and whether they nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({key for key, _ in attrs}) == len(attrs), f"{tag}: an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def ids(self) -> list[str]:
        return [identity for _, attributes in self.elements if (identity := attributes.get("id"))]

    def of(self, element: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == element]


def test_the_verdict_comes_first_and_the_sections_in_their_order() -> None:
    """Nobody has to look for what was asked."""
    page = render(full())
    reader = Reader(page)
    assert [identity for identity in reader.ids() if identity in SECTIONS] == SECTIONS
    assert page.index("lowers top-1 by 1.0 points") < page.index('id="accuracy"')
    assert [link["href"] for link in reader.of("a")[1:]] == [f"#{identity}" for identity in SECTIONS]


@pytest.mark.parametrize("field", ["accuracy", "worst", "layers", "histograms", "ladder", "diagnosis", "islands", "operators",
                                   "parity", "files", "calibration", "provenance"])
def test_a_section_without_content_is_left_out(field: str) -> None:
    """Each alone, and the rest stays."""
    document = full(9, 2)
    absent = () if isinstance(getattr(document, field), tuple) and field != "islands" else None
    found = [identity for identity in Reader(render(msgspec.structs.replace(document, **{field: absent}))).ids() if identity in SECTIONS]
    assert found == [identity for identity in SECTIONS if identity != field]


def test_a_report_of_nothing_but_a_verdict_is_a_page() -> None:
    """Everything else is optional."""
    reader = Reader(render(BARE))
    assert "Nothing was measured." in reader.words
    assert [identity for identity in reader.ids() if identity in SECTIONS] == []


def test_no_float_island_is_said_and_not_left_out() -> None:
    """An empty list was looked for and not found."""
    assert "None: every operator computes in integers" in render(msgspec.structs.replace(BARE, islands=()))


def test_a_hostile_name_stays_a_name() -> None:
    """A file, layer or label that is called like markup is shown as it is called; what no browser may show is replaced."""
    document = with_strings(full(9, 2), HOSTILE)
    page = render(document)
    plain = Reader(render(full(9, 2)))
    reader = Reader(page)
    # the same elements as with harmless names, but for wbr after separators and what follows from the names being equal
    for element in ("script", "style", "img", "link", "meta", "a", "section", "h2", "summary"):
        assert len(reader.of(element)) == len(plain.of(element)), element
    allowed = {"src", "alt"}
    assert all(set(image) == allowed for image in reader.of("img"))
    assert "onerror" not in {key for _, attributes in reader.elements for key in attributes}
    assert "\x00" not in page
    assert "\u202e" not in page  # nothing after such a name is read from right to left
    page.encode("utf-8")  # no surrogate is left
    assert any("</script><script>alert(1)" in word for word in reader.words)


def test_the_page_asks_for_nothing() -> None:
    """No address outside itself, and a policy that forbids any; its own script and style are those whose hashes it allows."""
    page = render(full(9, 2))
    reader = Reader(page)
    addresses = [value or "" for _, attributes in reader.elements for key, value in attributes.items() if key in ("src", "href")]
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert not re.search(r"url\(|@import|https?:", page)
    policy = next(meta["content"] for meta in reader.of("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    for source in ("page.css", "page.js"):
        digest = base64.b64encode(hashlib.sha256((FOLDER / source).read_bytes()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert not any("style" in attributes for _, attributes in reader.elements)  # such an attribute would need a weaker policy


def test_the_same_document_gives_the_same_page() -> None:
    """Byte for byte."""
    assert render(full()) == render(full())


def test_every_picture_has_a_text_and_every_table_heads_and_a_caption() -> None:
    """For who hears the page."""
    page = render(full())
    reader = Reader(page)
    assert all(image["alt"] for image in reader.of("img"))
    assert all(chart.get("aria-label") or chart.get("aria-hidden") or "chart" not in (chart.get("class") or "")
               for chart in reader.of("svg"))
    tables = page.split("<table")[1:]
    assert tables
    assert all("<caption" in table.split("</table>")[0] and 'scope="col"' in table.split("</table>")[0] for table in tables)
    assert all(len(ids) == len(set(ids)) for ids in [reader.ids()])


def test_answers_that_differ_are_marked_by_their_label_and_not_by_their_score() -> None:
    """iPod instead of telephone is another answer; 0.37 instead of 0.38 is not."""
    document = full(9, 1)
    assert render(document).count(">differs<") == 2
    same = msgspec.structs.replace(document.worst[0], answers={"Float": "iPod 0.41", "INT8 ONNX": "iPod 0.38"})
    page = render(msgspec.structs.replace(document, worst=(same,)))
    assert ">differs<" not in page
    assert "the answer changes on none of them" in page


def test_float_has_no_figure_where_it_is_the_measure() -> None:
    """Its agreement with itself is 100 %, which says nothing and would stretch the chart."""
    page = render(full())
    row = re.search(r">Top-1 agreement</th>(.*?)</tr>", page)
    assert row is not None
    assert "89.0" in row[1]
    assert "90.0" not in row[1]  # what the float run claims


@pytest.mark.parametrize("sizes", [(1, 1), (2, 0), (400, 30)])
def test_any_number_of_layers_and_samples_is_drawn(sizes: tuple[int, int]) -> None:
    """One layer, none of the rest; hundreds."""
    Reader(render(full(*sizes)))


def test_a_chart_of_figures_that_are_all_the_same_is_drawn() -> None:
    """Nothing is divided by a width of nothing."""
    figure = full().accuracy.runs[0].figures[0]  # type: ignore[union-attr]  # a full document has accuracy
    same = msgspec.structs.replace(figure, low=figure.value, high=figure.value)
    assert "50.00%" in intervals([same, same], ["a", "b"])
    assert "nan" not in layers([msgspec.structs.replace(full().layers[0], sqnr_db=-200.0)], [0])


@pytest.mark.parametrize(("low", "high", "wanted"), [(0, 60, [0, 20, 40, 60]), (70.2, 78.9, [72, 74, 76, 78]), (-0.3, 0.3, [-0.2, 0, 0.2]),
                                                      (5, 5, [5])])
def test_ticks_are_round(low: float, high: float, wanted: list[float]) -> None:
    """1, 2 or 5 times a power of ten, and -0 is 0."""
    assert ticks(low, high) == pytest.approx(wanted)
    assert "-0.0" not in map(str, ticks(low, high))


def test_a_scale_keeps_inside() -> None:
    """What lies outside an axis is drawn at its end."""
    assert [Scale(0, 10).percent(value) for value in (-5, 2.5, 50)] == ["0.00%", "25.00%", "100.00%"]


def test_text_is_escaped_and_markup_is_not() -> None:
    """In content and in attributes; absent attributes are left out."""
    assert tag("p", "a<b", Html("<i>"), None, ["&"], title='"', hidden=True, id=None, class_="c") == (
        '<p title="&quot;" hidden class="c">a&lt;b<i>&amp;</p>')
    assert name("a/b_c.d") == '<code dir="ltr">a/<wbr>b_<wbr>c.<wbr>d</code>'
    assert name("") == '<code dir="ltr">(no name)</code>'


def _colours(scheme: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", scheme))


def _luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_are_told_apart(scheme: int) -> None:
    """WCAG AA: 4.5 to 1 for text, 3 to 1 for what charts are drawn with, on every ground that they stand on."""
    blocks = re.findall(r":root \{(.*?)\}", (FOLDER / "page.css").read_text(), re.DOTALL)
    colours = _colours(blocks[scheme])
    texts = [(text, ground, 4.5) for text in ("text", "quiet", "good", "bad", "note", "run1", "worst") for ground in ("ground", "surface")]
    texts += [(word, f"{word}-ground", 4.5) for word in ("good", "note", "warning", "bad")]
    texts += [(mark, "ground", 3.0) for mark in ("run0", "run1", "run2", "run3", "bar", "worst")]
    for text, ground, least in texts:
        light, dark = sorted((_luminance(colours[text]), _luminance(colours[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= least, (text, ground)


def test_a_thumbnail_is_small_and_keeps_its_proportions_and_colours() -> None:
    """A red picture of 1000 x 500, in either order of channels; a grey one; a small one is not enlarged."""
    cv2 = pytest.importorskip("cv2")
    red = np.zeros((500, 1000, 3), np.uint8)
    red[..., 0] = 255
    for pixels, order in ((red, "RGB"), (red[..., ::-1], "BGR")):
        shown = cv2.imdecode(np.frombuffer(thumbnail(pixels, order), np.uint8), cv2.IMREAD_COLOR)
        assert shown.shape == (96, 192, 3)
        assert shown[48, 96, 2] > 240 > 20 > shown[48, 96, 0]
    grey = cv2.imdecode(np.frombuffer(thumbnail(np.full((8, 6, 1), 128, np.uint8)), np.uint8), cv2.IMREAD_UNCHANGED)
    assert grey.shape == (8, 6)


def test_everything_of_the_document_is_somewhere_on_the_page() -> None:
    """Each text that a run tells is shown."""
    document = full()
    shown = " ".join("".join(Reader(render(document)).words).split())

    def texts(value: object) -> list[str]:
        if isinstance(value, str):
            return [value]
        if isinstance(value, dict):
            return [text for key, item in value.items() if key not in ("image", "kind", "better", "dtype", "outcome", "severity")
                    for text in texts(item)]
        return [text for item in value for text in texts(item)] if isinstance(value, list | tuple) else []

    missing = {text for text in texts(msgspec.to_builtins(document)) if " ".join(text.split()).lower() not in shown.lower()}
    # names of drops follow from their metrics'; the command is folded; further tensors of a cause are counted
    folded = document.provenance.command if document.provenance else ""
    assert {text for text in missing if not text.startswith("drop of") and text != folded} == set()


def test_the_document_is_what_the_type_says() -> None:
    """render takes any Document, also one that came through JSON."""
    assert isinstance(full(), Document)


def test_a_class_number_is_no_score() -> None:
    """"class 722" against "class 577" is another answer; "tabby 0.42" against "tabby 0.40" is not."""
    def page(float_says: str, int8_says: str) -> str:
        worst = Sample(name="a.jpg", answers={"float": float_says, "INT8": int8_says}, sqnr_db=9.0)
        return render(Document(model="m", verdict=Verdict(outcome="measured", sentence="s"), worst=(worst,)))

    assert "the answer changes on all of them" in page("class 722", "class 577")
    assert "the answer changes on none of them" in page("tabby 0.42", "tabby 0.40")
