"""Reads `--since` and `--until`, for the verbs that list."""

from __future__ import annotations

from datetime import datetime

from capture.errors import UsageError

__all__ = ["times_between"]


def times_between(since_text: str | None, until_text: str | None) -> tuple[float, float]:
    """Return the times between which files are wanted, in seconds since 1970. Raises `UsageError`."""
    from capture.parsing import parse_moment

    now = datetime.now().astimezone()
    since = None if since_text is None else parse_moment(since_text, now)[0].timestamp()
    until = None if until_text is None else parse_moment(until_text, now)[1].timestamp()
    if since is not None and until is not None and since >= until:
        raise UsageError(f"--since {since_text} is not before --until {until_text}", "swap them")
    return -float("inf") if since is None else since, float("inf") if until is None else until
