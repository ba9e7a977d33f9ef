"""What the other steps wrote -> one HTML page about the run."""

import functools
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any, TypeVar

from markupsafe import Markup

from components.core.intake.drift import REPORT_NAME
from components.core.small_splits import describe_small_splits
from components.core.vocabulary import Vocabulary
from components.report.catalogue import Catalogue
from components.report.data import describe_data
from components.report.examples import describe_examples, list_items
from components.report.items import Items, read_items, show
from components.report.quality import describe_breakdowns, describe_quality
from components.report.rendering import Page, Section
from components.report.training import describe_training

PACKAGES = (
    "kfp",
    "tensorflow",
    "tensorflow-recommenders",
    "tf-keras",
    "numpy",
    "pyarrow",
    "scipy",
    "vl-convert-python",
)

# The sections in their order: what the table of contents says, and the heading.
SECTIONS = {
    "good": ("Is it good?", "Is the model good?"),
    "where": ("Where?", "Where is it good, and where bad?"),
    "training": ("Training", "Did the training go well?"),
    "examples": ("Examples", "What does it recommend?"),
    "catalogue": ("Catalogue", "What is in the catalogue?"),
    "data": ("Data", "What went in?"),
    "again": ("Reproduce", "How to make this model again"),
}

Made = TypeVar("Made")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The artifacts that the report is made of.

    Attributes:
        events_dir: the events artifact, of which the data report is read.
        vocabulary_path: the vocabulary artifact.
        metrics_path: metrics.json.
        examples_path: examples.json.
        embeddings_path: embeddings.parquet.
        index_check_path: index_check.json.
    """

    events_dir: Path
    vocabulary_path: Path
    metrics_path: Path
    examples_path: Path
    embeddings_path: Path
    index_check_path: Path


def make_report(sources: Sources, report_path: Path, *, items_path: str = "") -> list[str]:
    """Writes the report. What cannot be shown is said in its place, and the rest of the report is made.

    A report comes after hours of work, whose results do not depend on it. So it fails only if metrics.json cannot be
    read or the page cannot be written.

    Args:
        sources: the artifacts.
        report_path: HTML file to write.
        items_path: table with titles of the items, see `items.read_items`; empty for none.

    Returns:
        What could not be shown, and why; empty if the report is complete.

    Raises:
        OSError: metrics.json cannot be read, or the page cannot be written.
        ValueError: metrics.json is not JSON.
    """
    metrics = _read(sources.metrics_path)
    page = Page(metrics)
    problems: dict[str, str] = {}

    def attempt(name: str, make: Callable[[], Made]) -> Made | None:
        try:
            return make()
        except Exception as error:
            if name not in problems:  # what follows from a failure is no news
                logger.exception("The report lacks a part: %s", name)
                problems[name] = f"{name}: {type(error).__name__}: {show(str(error))}"
            return None

    examples = attempt("Examples", lambda: _read(sources.examples_path))
    catalogue = attempt(
        "Catalogue", lambda: Catalogue.read(sources.embeddings_path, Vocabulary.read(sources.vocabulary_path))
    )
    shown = {
        *(attempt("Examples", lambda: list(list_items(_need(examples)))) or ()),
        *(attempt("Catalogue", lambda: list(_need(catalogue).list_items())) or ()),
    }
    items = (attempt("Titles of the items", lambda: read_items(items_path, shown)) if items_path else None) or Items()
    index_check = attempt("Check of the index", lambda: describe_index(_read(sources.index_check_path)))
    small_splits = attempt("Data", lambda: describe_small_splits(_read(sources.events_dir / REPORT_NAME)))
    contents: dict[str, Callable[[], Mapping[str, Any]]] = {
        "good": lambda: {**describe_quality(metrics), "index_check": index_check, "small_splits": small_splits},
        "where": lambda: describe_breakdowns(metrics),
        "training": lambda: describe_training(metrics),
        "examples": lambda: {**describe_examples(_need(examples), items), "titles": items.note},
        "catalogue": lambda: _need(catalogue).describe(items),
        "data": lambda: describe_data(_read(sources.events_dir / REPORT_NAME)),
        "again": lambda: describe_origin(metrics),
    }
    sections = [
        Section(
            name=name,
            short=short,
            title=title,
            body=attempt(short, functools.partial(_render, page, name, contents[name])),
        )
        for name, (short, title) in SECTIONS.items()
    ]
    text = page.render(sections, list(problems.values()))
    report_path.parent.mkdir(parents=True, exist_ok=True)
    report_path.write_text(text, encoding="utf-8")
    return list(problems.values())


def _need(part: Made | None) -> Made:
    if part is None:
        raise LookupError("A part of the report that this one needs could not be read")
    return part


def _render(page: Page, name: str, describe: Callable[[], Mapping[str, Any]]) -> Markup:
    return page.render_section(name, describe())


def describe(problems: Sequence[str]) -> str:
    """Returns in one line whether the report is complete."""
    return f"not complete: {'; '.join(problems)}" if problems else "one page, report.html"


def describe_index(document: Mapping[str, Any]) -> dict[str, float]:
    """Returns what the first section shows of index_check.json."""
    return {name: float(document[name]) for name in ("index_recall", "p50_ms", "p99_ms")}


def describe_origin(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the last section: parameters, versions and the data.

    Args:
        metrics: the contents of metrics.json.
    """
    origin = metrics["origin"]
    versions = {f"{split}.parquet, SHA-256": digest for split, digest in origin["events"].items()}
    versions |= {"sources of the steps": origin["source_version"], "Python": python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    parameters = {name: _to_text(value) for name, value in metrics["parameters"].items()}
    return {"versions": versions, "parameters": parameters}


def _to_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _read(path: Path) -> Any:
    return json.loads(path.read_bytes())
