"""A bounded queue that can be closed: the only thing threads of the pipeline share."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Closed", "Mailbox"]

Item = TypeVar("Item")


class Closed(Exception):  # noqa: N818 - an ordinary end, not an error
    """The mailbox will deliver, or accept, nothing more."""


class Mailbox(Generic[Item]):
    """First in, first out, at most `capacity` items; every method may be called from any thread.

    With `weigh` it is not items that are counted but what they weigh: there is room as long as all that is inside
    weighs less than `capacity`.

    What happens when it is full is the sender's choice: `put` waits (sound is never dropped), `offer` declines (a frame
    may be). Closing lets the receiver drain what is inside and wakes everybody who waits.
    """

    def __init__(self, capacity: int, weigh: Callable[[Item], int] = lambda item: 1) -> None:
        self._capacity = capacity
        self._weigh = weigh
        self._items: deque[tuple[Item, int]] = deque()
        self._weight = 0
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: Item) -> None:
        """Append `item`, waiting for room; raise `Closed` if there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._weight < self._capacity)
            if self._closed:
                raise Closed
            self._append(item)

    def offer(self, item: Item) -> bool:
        """Append `item` if there is room now and return whether there was; raise `Closed`."""
        with self._changed:
            if self._closed:
                raise Closed
            if self._weight >= self._capacity:
                return False
            self._append(item)
            return True

    def _append(self, item: Item) -> None:
        weight = self._weigh(item)
        self._items.append((item, weight))
        self._weight += weight
        self._changed.notify_all()

    def has_room(self) -> bool:
        """Whether an `offer` made now, by the only sender, would be taken."""
        with self._changed:
            return self._weight < self._capacity

    def get(self, timeout_s: float | None = None) -> Item:
        """Take the oldest item. Raises `Closed` when drained and closed, `TimeoutError` after `timeout_s`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or self._items, timeout_s):
                raise TimeoutError
            if not self._items:
                raise Closed
            item, weight = self._items.popleft()
            self._weight -= weight
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Accept nothing more; may be called twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
