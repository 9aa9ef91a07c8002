"""A bounded queue that can be closed: the only thing threads of the pipeline share."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

__all__ = ["Closed", "Mailbox"]

Item = TypeVar("Item")


class Closed(Exception):  # noqa: N818 - an ordinary end, not an error
    """The mailbox will deliver, or accept, nothing more."""


class Mailbox(Generic[Item]):
    """First in, first out, at most `capacity` items; every method may be called from any thread.

    What happens when it is full is the sender's choice: `put` waits (sound is never dropped), `offer` declines (a frame
    may be). Closing lets the receiver drain what is inside and wakes everybody who waits.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: Item) -> None:
        """Append `item`, waiting for room; raise `Closed` if there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._capacity)
            if self._closed:
                raise Closed
            self._items.append(item)
            self._changed.notify_all()

    def offer(self, item: Item) -> bool:
        """Append `item` if there is room now and return whether there was; raise `Closed`."""
        with self._changed:
            if self._closed:
                raise Closed
            if len(self._items) >= self._capacity:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def has_room(self) -> bool:
        """Whether an `offer` made now, by the only sender, would be taken."""
        with self._changed:
            return len(self._items) < self._capacity

    def get(self, timeout_s: float | None = None) -> Item:
        """Take the oldest item. Raises `Closed` when drained and closed, `TimeoutError` after `timeout_s`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or self._items, timeout_s):
                raise TimeoutError
            if not self._items:
                raise Closed
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Accept nothing more; may be called twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
