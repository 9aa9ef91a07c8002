"""How far work on a file has got, for those who wait for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

__all__ = ["OnProgress", "part_of", "unwatched"]

#: Called with the share of the work that is done, from 0 to 1; often, so it must be quick.
OnProgress: TypeAlias = Callable[[float], None]


def unwatched(share: float) -> None:
    """Let nobody know."""


def part_of(on_progress: OnProgress, from_share: float, to_share: float) -> OnProgress:
    """Return what reports one step of the work, which begins and ends at these shares of the whole."""
    return lambda share: on_progress(from_share + (to_share - from_share) * min(1.0, max(0.0, share)))
