"""Which events of a log count, by their type."""

DEFAULT_EVENT_COLUMN = "event"
DEFAULT_EVENT_TYPES = ("view",)


def check_event_types(event_column: str, event_types: tuple[str, ...]) -> None:
    """Raises a ValueError if there is a column of event types and no type counts."""
    if event_column and not event_types:
        raise ValueError("Expected at least one event type in event_types. Received: none")


def list_optional(event_column: str, event_types: tuple[str, ...]) -> tuple[str, ...]:
    """Names the columns that a log may lack: the one of the event types, if the user chose neither it nor the types."""
    is_default = event_column == DEFAULT_EVENT_COLUMN and event_types == DEFAULT_EVENT_TYPES
    return (event_column,) if is_default else ()
