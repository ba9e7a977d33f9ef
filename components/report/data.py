"""What went into the model: what the sixth section shows of the data report."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from components.report.items import show


def describe_data(report: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the sixth section: the funnel, the splits, findings and drift.

    Args:
        report: the contents of the events artifact's report.json.
    """
    funnel = report.get("funnel") or {"read": report["num_lines"], "dropped": {}, "kept": {}}
    stages = [("read", "lines read", funnel["read"])]
    stages += [("dropped", show(label), count) for label, count in funnel["dropped"].items()]
    stages += [("kept", f"kept in {name}", count) for name, count in funnel["kept"].items()]
    read = max(1, funnel["read"])
    findings = [(name.replace("_", " "), count) for name, count in report["findings"].items() if count]
    findings += [(f"id {show(name)}", count) for name, count in report.get("null_texts", {}).items()]
    if report["num_rejected"]:
        findings[:0] = [(f"rejected: {show(name)}", count) for name, count in report["rejected_by_reason"].items()]
    return {
        "funnel": [
            {"kind": kind, "label": label, "count": count, "share": count / read} for kind, label, count in stages
        ],
        "splits": report["splits"],
        "findings": findings,
        "times": [f"{show(name)} ({count:,})" for name, count in report.get("time_formats", {}).items()],
        "drift": [
            {
                "label": show(row["name"].replace("_", " ")),
                "value": f"{row['value']:.4f}",
                "bounds": [f"{row[name]:g}" if isfinite(row[name]) else "never" for name in ("warn", "fail")],
                "verdict": row["verdict"],
            }
            for row in report.get("drift", [])
        ],
    }
