"""Finds the name that was meant."""

import difflib
from collections.abc import Iterable


def suggest(name: str, names: Iterable[str]) -> str:
    """Returns a sentence with the known names that are closest to an unknown one; empty if none is close."""
    names = list(names)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    parts = {part for part in name.lower().split("_") if len(part) > 2}
    close += [each for each in names if each not in close and parts and parts <= set(each.split("_"))][: 3 - len(close)]
    return f"Did you mean {' or '.join(close)}?" if close else ""


def explain_unknown(name: str, names: Iterable[str], others: Iterable[str] = ()) -> str:
    """Returns the message about an unknown parameter.

    Args:
        name: the unknown name.
        names: the parameters of the pipeline.
        others: parameters that only another pipeline has.
    """
    advice = "Only the pipeline over a raw log (--events) has it." if name in others else suggest(name, names)
    parts = (f"Expected a parameter of the pipeline. Received: {name!r}.", advice, "`two-tower parameters` lists all.")
    return " ".join(part for part in parts if part)
