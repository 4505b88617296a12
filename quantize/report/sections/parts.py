"""What sections are built of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from quantize.report.html import Child, Html, join, tag

__all__ = ["Cell", "badge", "block", "fold", "lead", "long_table", "run_mark", "table"]

_WORDS = {"good": "Good", "note": "Note", "warning": "Warning", "bad": "Problem"}

Cell = Child


def block(id: str, title: str, *children: Child) -> Html:
    """A section under its heading."""
    return tag("section", tag("h2", title), *children, id=id)


def lead(*children: Child) -> Html:
    """The paragraph that says what is to be seen."""
    return tag("p", *children, class_="lead")


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Cell]], numeric: Collection[int] = (),
          first: int = 0) -> Html:
    """A table of few columns. Where the page is narrow each row becomes a block, with the names of columns before the cells.
    ``numeric``: columns to the right. ``first``: the column that names its row; what stands before it is a number."""
    def cell(column: int, content: Cell) -> Html:
        kind = "num" if column in numeric else None
        if column == first:
            return tag("th", content, scope="row", role="rowheader", class_=kind)
        label = tag("span", head[column], " ", class_="label", aria_hidden="true") if head[column] else None
        return tag("td", label, content, role="cell", class_=kind)

    heads = [tag("th", title, scope="col", role="columnheader", class_="num" if column in numeric else None)
             for column, title in enumerate(head)]
    body = [tag("tr", [cell(column, content) for column, content in enumerate(row)], role="row") for row in rows]
    # the roles are those of the elements, which a block loses
    return tag("table", tag("caption", caption, class_="unseen"),
               tag("thead", tag("tr", heads, role="row"), role="rowgroup"), tag("tbody", body, role="rowgroup"),
               role="table", class_="stack")


def long_table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Cell]], numeric: Collection[int] = ()) -> Html:
    """A table of many rows and columns: it scrolls in a frame of its own where it is too wide, and can be sorted."""
    heads = [tag("th", title, scope="col", class_="num" if column in numeric else None) for column, title in enumerate(head)]
    body = [tag("tr", [tag("td", content, class_="num" if column in numeric else None)
                       for column, content in enumerate(row)]) for row in rows]
    made = tag("table", tag("caption", caption, class_="unseen"), tag("thead", tag("tr", heads)), tag("tbody", body),
               class_="sortable")
    return tag("div", made, class_="scroll", tabindex="0", role="region", aria_label=caption)


def fold(summary: str, *children: Child) -> Html:
    """What only some want to see. Open on paper."""
    return tag("details", tag("summary", summary), *children)


def badge(severity: str, word: str = "") -> Html:
    """A word with a colour; the word says it all."""
    return tag("span", word or _WORDS[severity], class_=f"badge {severity}")


def run_mark(index: int) -> Html:
    """The mark under which a run stands in charts."""
    shapes = ('<circle cx="6" cy="6" r="4" class="run0 ring"/>', '<circle cx="6" cy="6" r="4.5" class="run1 dot"/>',
              '<path d="M6 .5 11.5 6 6 11.5.5 6z" class="run2"/>', '<path d="M2 2h8v8H2z" class="run3"/>')
    return tag("svg", join([Html(shapes[index % len(shapes)])]), class_="chart key", width=12, height=12, aria_hidden="true")
