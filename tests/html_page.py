"""A page of HTML, for tests that look at its elements."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """The elements of a page: name, attributes and the text inside, in the order in which they end."""

    VOID = {"meta", "link", "br"}  # noqa: RUF012

    def __init__(self, text):
        super().__init__()
        self.open, self.elements = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag in self.VOID:
            self.elements.append((tag, dict(attributes), ""))
        else:
            self.open.append((tag, dict(attributes), []))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            name, attributes, texts = self.open.pop()
            assert name == tag
            self.elements.append((name, attributes, "".join(texts)))

    def handle_data(self, data):
        for _, _, texts in self.open:
            texts.append(data)

    def find(self, tag, **wanted):
        return [
            (attributes, text)
            for name, attributes, text in self.elements
            if name == tag and wanted.items() <= attributes.items()
        ]
