"""Conditions under which a step accepts a log, and the findings that violate them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.core.intake.drift import DriftBounds

FINDINGS = (
    "duplicates",
    "backward_times",
    "sessions_in_two_splits",
    "splits_out_of_order",
    "ties",
    "long_sessions",
    "busy_visitors",
    "no_event_column",
    "missing_event_types",
    "seconds",
    "cut_files",
    "null_texts",
    "small_splits",
)
ERRORS = ("splits_out_of_order", "sessions_in_two_splits")  # unless they are allowed
# In splits by the end of a session, a few sessions of a split start before the newest session of the split before it.
OUT_OF_ORDER_SHARE = 0.01
BOT_ACTIONS = ("cut", "drop")


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """Conditions under which the step accepts a log.

    Attributes:
        max_rejected_share: maximum share of rejected lines. Reading stops as soon as the share would exceed it even
            if all remaining lines were accepted.
        data_errors: names among FINDINGS that fail the step; docs/your-data.md describes each.
        allowed_findings: names among ERRORS, the findings that fail the step by default, that are accepted.
        previous_events: events artifact of an earlier run; empty for none.
        drift_bounds: texts NAME=WARN:FAIL, see `DriftBounds.parse`.

    Raises:
        ValueError: a value is out of bounds, a finding or a drift measure is unknown, or a finding is both an error and
            allowed.
    """

    max_rejected_share: float = 0.01
    data_errors: tuple[str, ...] = ()
    allowed_findings: tuple[str, ...] = ()
    previous_events: str = ""
    drift_bounds: tuple[str, ...] = (
        "volume=0.5:2.0",
        "session_length=0.25:1.0",
        "lost_items=0.3:0.8",
        "popularity=0.3:0.8",
    )

    @property
    def drift(self) -> DriftBounds:
        """Bounds of the change since the previous run."""
        return DriftBounds.parse(self.drift_bounds)

    def __post_init__(self) -> None:
        if not 0 <= self.max_rejected_share <= 1:
            raise ValueError(f"Expected max_rejected_share to be between 0 and 1. Received: {self.max_rejected_share}")
        for name, known in (("data_errors", FINDINGS), ("allowed_findings", ERRORS)):
            unknown = sorted(set(getattr(self, name)) - set(known))
            if unknown:
                raise ValueError(f"Expected {name} to be among {', '.join(known)}. Received: {', '.join(unknown)}")
        both = sorted(set(self.data_errors) & set(self.allowed_findings))
        if both:
            raise ValueError(
                f"Expected each finding in data_errors or in allowed_findings. Received in both: {', '.join(both)}"
            )
        _ = self.drift  # checks the bounds

    def check_findings(self, findings: Mapping[str, int], out_of_order: Sequence[str]) -> None:
        """Checks that no finding is an error.

        Args:
            findings: count of each of FINDINGS.
            out_of_order: a sentence about each split in which more than OUT_OF_ORDER_SHARE of the sessions are too old.

        Raises:
            ValueError: a finding is an error.
        """
        wrong = [f"{findings[name]:,} {name}" for name in self.data_errors if findings[name]]
        if wrong:
            raise ValueError(f"Expected none of the findings that are errors. Received: {', '.join(wrong)}")
        errors = {
            "splits_out_of_order": [*out_of_order, "Are the files swapped?"] if out_of_order else [],
            "sessions_in_two_splits": [
                f"{findings['sessions_in_two_splits']:,} sessions occur in two splits.",
                "Is a file given for two splits?",
            ]
            if findings["sessions_in_two_splits"]
            else [],
        }
        found = {name: texts for name, texts in errors.items() if texts and name not in self.allowed_findings}
        if found:
            texts = " ".join(text for each in found.values() for text in each)
            raise ValueError(
                "Expected sessions that occur in one split each, and that start in the order train, valid, test. "
                f"Received: {texts} If this is intended, set allowed_findings={','.join(found)}"
            )


def check_bots(max_events: Mapping[str, int], action: str) -> None:
    """Checks the parameters that say which events are those of bots.

    Args:
        max_events: maximum number of events by the name of the parameter; 0 for no maximum.
        action: value of `bot_action`.

    Raises:
        ValueError: a value is out of bounds.
    """
    for name, value in max_events.items():
        if not 0 <= value <= 2**31:
            raise ValueError(f"Expected {name} to be between 0 and {2**31}. Received: {value}")
    if action not in BOT_ACTIONS:
        raise ValueError(f"Expected bot_action to be one of {', '.join(BOT_ACTIONS)}. Received: {action!r}")
