"""Finds the name that was meant."""

import difflib
from collections.abc import Iterable, Mapping

MAX_SUGGESTIONS = 3


def suggest(name: str, names: Iterable[str]) -> str:
    """Returns a sentence with the known names that are closest to an unknown one; empty if none is close."""
    close = _find_close(name, names)
    return f"Did you mean {' or '.join(close)}?" if close else ""


def explain_unknown(name: str, names: Iterable[str], owners: Mapping[str, str]) -> str:
    """Returns the message about an unknown parameter.

    Args:
        name: the unknown name.
        names: the parameters of the pipeline.
        owners: what has a parameter that the pipeline has not, by the name of the parameter: `the pipeline training`.
    """
    names = list(names)
    if name in owners:
        advice = [f"Only {owners[name]} has it."]
    else:
        known = list(dict.fromkeys([*names, *owners]))
        foreign: dict[str, list[str]] = {}
        for each in _find_close(name, known):
            if each not in names:
                foreign.setdefault(owners[each], []).append(each)
        advice = [suggest(name, known), *(f"Only {owner} has {' and '.join(each)}." for owner, each in foreign.items())]
    parts = (f"Expected a parameter of the pipeline. Received: {name!r}.", *advice, "`two-tower parameters` lists all.")
    return " ".join(part for part in parts if part)


def _find_close(name: str, names: Iterable[str]) -> list[str]:
    """Finds the names that look like a name or contain all its words, the closest first."""
    names = list(names)
    close = difflib.get_close_matches(name, names, n=MAX_SUGGESTIONS, cutoff=0.6)
    words = {word for word in name.lower().split("_") if len(word) > 2}
    close += [each for each in names if each not in close and words and words <= set(each.split("_"))]
    return close[:MAX_SUGGESTIONS]
