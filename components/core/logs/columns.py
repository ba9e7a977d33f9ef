"""The columns to read from a log, and how to find them in its header."""

from dataclasses import dataclass

from components.core.logs.clean_lines import BYTE_ORDER_MARK
from components.core.logs.formats import find_wide_encoding
from components.core.logs.lines import Layout
from components.core.logs.texts import show

MAX_LINE_BYTES = 1 << 26


@dataclass(frozen=True, kw_only=True)
class LogColumns:
    """The columns to read from a log.

    Attributes:
        text: names of the columns that are read as text.
        time: name of the time column, in milliseconds since 1970.
        delimiter: field delimiter; if empty, a comma for `.csv` and a tab otherwise.
        max_id_bytes: maximum length of a text in bytes.
    """

    text: tuple[str, ...]
    time: str
    delimiter: str = ""
    max_id_bytes: int = 256

    def __post_init__(self) -> None:
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"Expected a different name for each column. Received: {self.names}")
        if len(self.delimiter) > 1 or not self.delimiter.isascii() or self.delimiter in ("\n", "\r", "\0"):
            raise ValueError(f"Expected one ASCII character as delimiter. Received: {self.delimiter!r}")
        if not 1 <= self.max_id_bytes <= MAX_LINE_BYTES:
            raise ValueError(
                f"Expected max_id_bytes to be between 1 and {MAX_LINE_BYTES}. Received: {self.max_id_bytes}"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns; the time column is last."""
        return (*self.text, self.time)

    def find(self, header: bytes, name: str, suffix: str) -> Layout:
        """Finds the columns in the header line of a file.

        Args:
            header: the line without its newline.
            name: name of the file, for error messages.
            suffix: suffix of the file, such as `.csv`.

        Raises:
            ValueError: the file is empty, a column is missing or duplicated, the text is UTF-16 or UTF-32, or its lines
                end in carriage returns without newlines.
        """
        if not header:
            raise ValueError(f"Expected a header with {list(self.names)} in {name}. Received: an empty file")
        if encoding := find_wide_encoding(header):
            raise ValueError(
                f"Expected UTF-8 text in {name}. Received: {encoding}; "
                f"convert it, for example with: iconv -f {encoding} -t UTF-8"
            )
        delimiter = self.delimiter or ("," if suffix == ".csv" else "\t")
        line = header.removeprefix(BYTE_ORDER_MARK).removesuffix(b"\r")
        fields = show(line).split(delimiter)
        if any(fields.count(field) != 1 for field in self.names):
            if b"\r" in line:
                raise ValueError(
                    f"Expected each line of {name} to end in a newline. Received: carriage returns alone; "
                    r"convert it, for example with: tr '\r' '\n'"
                )
            raise ValueError(
                f"Expected each of the columns {list(self.names)} once in {name}, "
                f"separated by {delimiter!r}. Received: {fields}"
            )
        return Layout(
            num_fields=len(fields),
            delimiter=delimiter,
            text_fields=tuple(fields.index(field) for field in self.text),
            time_field=fields.index(self.time),
            names=self.names,
            max_id_bytes=self.max_id_bytes,
        )
