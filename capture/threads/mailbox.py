"""A bounded queue that can be closed: how the threads of the pipeline hand data to each other."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Closed", "Mailbox"]

Item = TypeVar("Item")


class Closed(Exception):  # noqa: N818 - an ordinary end, not an error
    """The mailbox is closed: it accepts no more items, or has none left to deliver."""


class Mailbox(Generic[Item]):
    """A first-in, first-out queue of at most `capacity` items. Any thread may call any method.

    With `weigh`, the mailbox counts the weights of the items instead of the items: there is room while their sum is
    below `capacity`.

    The sender decides what happens when the mailbox is full: `put` waits (sound is never dropped), `offer` declines (a
    frame may be dropped). Closing wakes every waiting thread; the receiver can still drain the queue.
    """

    def __init__(self, capacity: int, weigh: Callable[[Item], int] = lambda item: 1) -> None:
        self._capacity = capacity
        self._weigh = weigh
        self._items: deque[tuple[Item, int]] = deque()
        self._weight = 0
        self._changed = threading.Condition()
        self._closed = False
        self._at_next_get: threading.Event | None = None
        self._awaited = False

    def put(self, item: Item) -> None:
        """Append `item`, waiting for room. Raises `Closed`."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._weight < self._capacity)
            if self._closed:
                raise Closed
            self._append(item)

    def offer(self, item: Item) -> bool:
        """Append `item` if there is room now; return whether there was. Raises `Closed`."""
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
        """Whether an `offer` would succeed now. Only reliable with a single sender."""
        with self._changed:
            return self._weight < self._capacity

    def filled(self) -> float:
        """Return how much of the capacity is taken, from 0 to 1 and, with weights, a little more."""
        with self._changed:
            return self._weight / self._capacity

    def is_awaited(self) -> bool:
        """Whether the receiver is done with all items and waits for the next. Only reliable with a single sender."""
        with self._changed:
            return self._awaited and not self._items

    def set_at_next_get(self, event: threading.Event) -> None:
        """Set `event` when the receiver takes the next item; replaces the event of an earlier call."""
        with self._changed:
            self._at_next_get = event

    def get(self, timeout_s: float | None = None) -> Item:
        """Remove and return the oldest item.

        Raises `Closed` when the mailbox is closed and empty, `TimeoutError` after `timeout_s`.
        """
        with self._changed:
            self._awaited = True
            has_come = self._changed.wait_for(lambda: self._closed or self._items, timeout_s)
            self._awaited = False
            if not has_come:
                raise TimeoutError
            if not self._items:
                raise Closed
            item, weight = self._items.popleft()
            self._weight -= weight
            if self._at_next_get is not None:
                self._at_next_get.set()
                self._at_next_get = None
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Accept no more items; may be called twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
