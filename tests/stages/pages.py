"""Pages that stages write, read as a browser would read them."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

VOID = {"meta", "img", "link", "br", "hr", "input"}


class StandalonePage(HTMLParser):
    """A page without scripts: elements closed in order, files beside it, words for every picture."""

    def __init__(self, folder: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.cells: list[list[str]] = []
        self.spoken: list[str] = []
        self.text = ""
        html = (folder / "index.html").read_text("utf-8")
        assert not re.search(r"""(https?:)?//[\w.]|@import|url\(|<script""", html)
        self.feed(html)
        self.close()
        assert self.open == []
        for link in self.links:
            place = urlsplit(link)
            assert not place.scheme
            if place.path:
                assert (folder / unquote(place.path)).is_file(), link
            else:
                assert unquote(place.fragment) in self.ids, link

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            assert values["id"] not in self.ids
            self.ids.add(values["id"])
        self.links += [value for name, value in values.items() if name in ("src", "href")]
        if tag == "img":
            assert values["alt"]
            self.pictures.append(unquote(values["src"]))
        if "aria-label" in values:
            self.spoken.append(values["aria-label"])
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text += data
        if "td" in self.open or "th" in self.open:
            self.cells[-1][-1] += data

    @property
    def rows(self) -> list[dict[str, str]]:
        """The first table, a row each by column head."""
        head, *rows = self.cells
        width = len(head)
        return [dict(zip(head, row, strict=True)) for row in rows if len(row) == width and row != head]
