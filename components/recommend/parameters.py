"""Parameters of the `recommend` step."""

from dataclasses import dataclass, field

from components.core.logs.columns import LogColumns, LogForm
from components.core.logs.event_types import (
    DEFAULT_EVENT_COLUMN,
    DEFAULT_EVENT_TYPES,
    check_event_types,
    list_optional,
)


@dataclass(frozen=True, kw_only=True)
class RecommendParameters:
    """Parameters of the `recommend` step; component.py describes each of them.

    Attributes:
        form: form of the files.

    Raises:
        ValueError: a value is out of bounds.
    """

    session_column: str = "SessionId"
    item_column: str = "ItemId"
    event_column: str = DEFAULT_EVENT_COLUMN
    event_types: tuple[str, ...] = DEFAULT_EVENT_TYPES
    time_column: str = "Time"
    time_offset_column: str = ""
    form: LogForm = field(default_factory=LogForm)
    recommend_k: int = 20
    exclude_seen: bool = False
    max_session_events: int = 2000
    max_rejected_share: float = 0.01

    def __post_init__(self) -> None:
        for name, highest in (("recommend_k", 10_000), ("max_session_events", 100_000)):
            value = getattr(self, name)
            if not 1 <= value <= highest:
                raise ValueError(f"Expected {name} to be between 1 and {highest:,}. Received: {value}")
        if not 0 <= self.max_rejected_share <= 1:
            raise ValueError(f"Expected max_rejected_share to be between 0 and 1. Received: {self.max_rejected_share}")
        check_event_types(self.event_column, self.event_types)
        _ = self.columns  # checks the columns

    @property
    def columns(self) -> LogColumns:
        """The columns session, item, event type if there is one, and time."""
        return LogColumns(
            text=(self.session_column, self.item_column, *([self.event_column] if self.event_column else [])),
            time=self.time_column,
            time_offset=self.time_offset_column,
            optional=list_optional(self.event_column, self.event_types),
            form=self.form,
        )
