"""Finds the window that `--window` names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

from capture.errors import UsageError

__all__ = ["choose_by_title", "one_of"]

#: How many windows a message lists.
_NAMED: Final = 8


class _Titled(Protocol):
    @property
    def title(self) -> str: ...


Found = TypeVar("Found", bound=_Titled)


def choose_by_title(windows: Sequence[Found], wanted: str, has_id: Callable[[Found], bool]) -> Found:
    """Return the one of `windows` with the whole title `wanted`, or with that id, or with a part of it in its title.

    `has_id` says whether `wanted` is the id of a window. A part counts in any case of its letters. Raises `UsageError`
    if no window matches, or more than one.
    """
    folded = wanted.casefold()
    for found in (
        [window for window in windows if window.title == wanted],
        [window for window in windows if has_id(window)],
        [window for window in windows if folded in window.title.casefold()],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError(f"{len(found)} windows match {wanted!r}", f"give the id of one: {_named(found)}")
    raise UsageError(f"there is no window {wanted!r}", one_of(windows))


def one_of(windows: Sequence[object]) -> str:
    """Return the remedy that names the windows to choose from."""
    return f"choose one of {_named(windows)}" if windows else "no window has a title: use --screen or --region"


def _named(windows: Sequence[object]) -> str:
    more = f" and {len(windows) - _NAMED} more" if len(windows) > _NAMED else ""
    return ", ".join(map(str, windows[:_NAMED])) + more
