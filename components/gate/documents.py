"""The three JSON documents that the gate reads, and strict access to their values.

Every number is finite and no boolean; a count is an integer in JSON, without a decimal point. Keys that are not listed
are not read. `METRIC` is `recall@20` and `mrr@20`, `BASELINE` the name of each baseline.

metrics.json, written by `evaluate`:

    schema_version                          count, `schema_versions.METRICS`
    test                                    the test split before sampling: `components.core.events.describe_split`
    trained_until                           time of the newest event that the model was trained on, in ms since 1970
    num_targets                             count of the targets that were ranked
    num_unknown_targets                     count of those that are not in the vocabulary
    num_items                               count of the items in the catalogue
    coverage@20.model                       share of the catalogue that the model recommends to at least one target
    model.METRIC                            the model's metric, from 0 to 1
    baselines.BASELINE.METRIC               the baseline's, on the same targets
    intervals.ahead_of.BASELINE.METRIC      [low, high], interval of model minus baseline, paired, over sessions
    champion                                what became of the comparison with the published model:
      .status                               "compared", "none", "unreadable" or "too_few_targets"
      .reason                               why it was not compared; not read of "compared"
      .version                              count from 1, the published version; null or absent of "none"
      .trained_until                        time of the newest event that the champion was trained on, in ms
      .num_targets                          count of the targets of sessions that begin after that time
      .model.METRIC                         the model's metric on these targets
      .champion.METRIC                      the champion's
      .ahead.METRIC                         [low, high], interval of model minus champion

"none" is a serving location that could be listed and holds no version, or a local folder that does not exist; it has no
other values than the reason. "unreadable" is every location or version that could not be read. "too_few_targets" is a
comparison for which too few targets are left, by the gate's bound; it has version, trained_until and num_targets. The
gate counts them itself, so `evaluate` may write "compared" whenever one target is left.

index_check.json, written by `export`:

    schema_version                          count, `schema_versions.INDEX_CHECK`
    test                                    as in metrics.json, of the split whose sessions were asked for
    num_queries                             count of the timed queries, with repeats
    index_recall                            share of the exact top items that the index returns, from 0 to 1
    p99_ms                                  99th percentile of the time of a single query, in milliseconds
    score_difference                        largest absolute difference between a score of the exported model, reloaded
                                            in a fresh process, and the evaluated one, divided by the largest absolute
                                            evaluated score

report.json of the events artifact, written by `DataReport.write`:

    schema_version, num_lines, num_rejected, findings, drift, lost_event_share,
    splits.{valid,test}.num_sessions, splits.test.{num_events,first_time,last_time}
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class UnusableError(ValueError):
    """A value is missing, or it is not what it has to be."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """A JSON document, or a part of it.

    Attributes:
        name: what messages call it, such as `metrics.json`.
        content: the parsed JSON.
        error: why the file could not be read; empty if it could.
    """

    name: str
    content: Any = None
    error: str = ""

    @classmethod
    def read(cls, path: Path, name: str) -> "Document":
        """Reads a file; a file that cannot be read or parsed gives a document with an error."""
        try:
            return cls(name=name, content=json.loads(path.read_bytes()))
        except (OSError, ValueError, RecursionError) as error:
            return cls(name=name, error=f"{type(error).__name__}: {error}")

    def part(self, *keys: str) -> "Document":
        """Returns the value at a path of keys.

        Raises:
            UnusableError: the document could not be read, or a key is missing.
        """
        if self.error:
            raise UnusableError(f"{self.name} could not be read. {self.error}")
        part, name = self.content, self.name
        for key in keys:
            if not isinstance(part, dict) or key not in part:
                raise UnusableError(f"Expected {key} in {name}. Received: {_show(part)}")
            part, name = part[key], f"{name}: {key}" if name == self.name else f"{name}.{key}"
        return Document(name=name, content=part)

    def has(self, key: str) -> bool:
        """Whether the document is an object with the key and a value other than null."""
        content = self.part().content
        return isinstance(content, dict) and content.get(key) is not None

    def keys(self) -> list[str]:
        """Returns the keys of the object.

        Raises:
            UnusableError: it is not an object.
        """
        return list(self._as(dict, "an object"))

    def entries(self) -> list["Document"]:
        """Returns the entries of the list.

        Raises:
            UnusableError: it is not a list.
        """
        entries = enumerate(self._as(list, "a list"))
        return [Document(name=f"{self.name}[{position}]", content=entry) for position, entry in entries]

    def text(self) -> str:
        """Returns the string.

        Raises:
            UnusableError: it is not a string.
        """
        return str(self._as(str, "a string"))

    def number(self, lowest: float = -math.inf, highest: float = math.inf) -> float:
        """Returns the finite number.

        Raises:
            UnusableError: it is not a finite number, or out of bounds.
        """
        value = self.part().content
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or not lowest <= value <= highest:
            bounds = f" from {lowest:g} to {highest:g}" if highest < math.inf else ""
            raise UnusableError(f"Expected a finite number{bounds} in {self.name}. Received: {_show(value)}")
        return float(value)

    def count(self, lowest: int = 0) -> int:
        """Returns the integer.

        Raises:
            UnusableError: it is not an integer, or below the lowest.
        """
        value = self.part().content
        if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
            raise UnusableError(f"Expected an integer of at least {lowest} in {self.name}. Received: {_show(value)}")
        return value

    def interval(self) -> tuple[float, float]:
        """Returns the lower and the upper end.

        Raises:
            UnusableError: it is not a list of two finite numbers from -1 to 1, the lower first.
        """
        ends = [entry.number(-1, 1) for entry in self.entries()]
        if len(ends) != 2 or ends[0] > ends[1]:
            raise UnusableError(f"Expected [low, high] in {self.name}. Received: {_show(self.content)}")
        return ends[0], ends[1]

    def _as(self, kind: type, expected: str) -> Any:
        value = self.part().content
        if not isinstance(value, kind):
            raise UnusableError(f"Expected {expected} in {self.name}. Received: {_show(value)}")
        return value


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."


@dataclass(frozen=True, kw_only=True)
class Documents:
    """What the gate reads.

    Attributes:
        metrics: metrics.json.
        index_check: index_check.json.
        report: report.json.
    """

    metrics: Document
    index_check: Document
    report: Document
