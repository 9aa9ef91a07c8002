"""The mailbox keeps order and bounds, and closing it wakes every waiting thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from capture.threads.mailbox import Closed, Mailbox

LIMIT_S = 30.0


class Helper:
    """A thread that makes one call; the constructor returns once the thread runs."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._started = threading.Event()
        self.outcome: object = None
        self._thread = threading.Thread(target=self._run, name="helper", daemon=True)
        self._thread.start()
        assert self._started.wait(LIMIT_S)

    def _run(self) -> None:
        self._started.set()
        try:
            self.outcome = self._call()
        except Exception as error:
            self.outcome = type(error)

    def is_blocked(self) -> bool:
        """Whether the call still has not returned after 20 ms."""
        self._thread.join(0.02)
        return self._thread.is_alive()

    def finish(self) -> object:
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()
        return self.outcome


@pytest.fixture
def box() -> Iterator[Mailbox[int]]:
    """A mailbox for two items."""
    box = Mailbox[int](2)
    yield box
    box.close()


def test_items_come_out_in_order(box: Mailbox[int]) -> None:
    box.put(1)
    box.put(2)
    assert (box.get(), box.get()) == (1, 2)


def test_offer_declines_when_full(box: Mailbox[int]) -> None:
    assert [box.offer(number) for number in (1, 2, 3)] == [True, True, False]
    assert box.get() == 1
    assert box.offer(4)
    assert (box.get(), box.get()) == (2, 4)


def test_has_room_predicts_offer(box: Mailbox[int]) -> None:
    for number in range(4):
        assert box.has_room() is (number < 2)
        assert box.offer(number) is (number < 2)


def test_put_waits_for_room_and_keeps_the_order(box: Mailbox[int]) -> None:
    box.put(1)
    box.put(2)
    sender = Helper(lambda: box.put(3))
    assert sender.is_blocked()
    assert box.get() == 1
    assert sender.finish() is None
    assert (box.get(), box.get()) == (2, 3)


def test_get_waits_for_an_item(box: Mailbox[int]) -> None:
    receiver = Helper(box.get)
    assert receiver.is_blocked()
    box.put(7)
    assert receiver.finish() == 7


def test_get_times_out(box: Mailbox[int]) -> None:
    with pytest.raises(TimeoutError):
        box.get(timeout_s=0.01)
    with pytest.raises(TimeoutError):
        box.get(timeout_s=0)
    box.put(1)
    assert box.get(timeout_s=0) == 1


def test_a_closed_mailbox_can_be_drained_but_accepts_nothing(box: Mailbox[int]) -> None:
    box.put(1)
    box.close()
    with pytest.raises(Closed):
        box.put(2)
    with pytest.raises(Closed):
        box.offer(2)
    assert box.get() == 1
    for timeout_s in (None, 0, 10):
        with pytest.raises(Closed):
            box.get(timeout_s)


def test_closing_twice_is_harmless(box: Mailbox[int]) -> None:
    box.put(1)
    box.close()
    box.close()
    assert box.get() == 1


def test_closing_wakes_every_waiting_receiver(box: Mailbox[int]) -> None:
    receivers = [Helper(box.get) for _ in range(3)]
    assert all(receiver.is_blocked() for receiver in receivers)
    box.close()
    assert [receiver.finish() for receiver in receivers] == [Closed] * 3


def test_closing_wakes_every_waiting_sender(box: Mailbox[int]) -> None:
    box.put(1)
    box.put(2)
    senders = [Helper(lambda: box.put(3)) for _ in range(3)]
    assert all(sender.is_blocked() for sender in senders)
    box.close()
    assert [sender.finish() for sender in senders] == [Closed] * 3
    assert (box.get(), box.get()) == (1, 2)


def test_many_threads_neither_lose_nor_duplicate_items() -> None:
    box = Mailbox[int](3)
    received: list[int] = []
    taken = threading.Lock()

    def receive() -> None:
        while True:
            number = box.get()
            with taken:
                received.append(number)

    def send(first: int) -> None:
        for number in range(first, first + 200):
            box.put(number)

    receivers = [Helper(receive) for _ in range(3)]
    senders = [Helper(lambda first=first: send(first)) for first in (0, 200, 400)]  # type: ignore[misc]
    assert [sender.finish() for sender in senders] == [None] * 3
    box.close()
    assert [receiver.finish() for receiver in receivers] == [Closed] * 3
    assert sorted(received) == list(range(600))


class AnyUse(RuleBasedStateMachine):
    """One thread calls a mailbox in any order; a plain deque is the model."""

    CAPACITY = 3

    def __init__(self) -> None:
        super().__init__()
        self.box = Mailbox[int](self.CAPACITY)
        self.model: deque[int] = deque()
        self.closed = False

    @rule(number=st.integers())
    def offer(self, number: int) -> None:
        if self.closed:
            with pytest.raises(Closed):
                self.box.offer(number)
            return
        took = self.box.offer(number)
        assert took is (len(self.model) < self.CAPACITY)
        if took:
            self.model.append(number)

    @rule(number=st.integers())
    def put(self, number: int) -> None:
        if self.closed:
            with pytest.raises(Closed):
                self.box.put(number)
        elif len(self.model) < self.CAPACITY:
            self.box.put(number)
            self.model.append(number)

    @rule()
    def get(self) -> None:
        if self.model:
            assert self.box.get(timeout_s=0) == self.model.popleft()
        else:
            with pytest.raises(Closed if self.closed else TimeoutError):
                self.box.get(timeout_s=0)

    @rule()
    def close(self) -> None:
        self.box.close()
        self.closed = True

    @invariant()
    def room_is_known(self) -> None:
        assert self.box.has_room() is (len(self.model) < self.CAPACITY)


TestAnyUse = AnyUse.TestCase


def test_a_receiver_that_is_done_with_all_items_awaits_the_next(box: Mailbox[int]) -> None:
    assert not box.is_awaited()
    receiver = Helper(box.get)
    assert receiver.is_blocked()
    assert box.is_awaited()
    box.put(1)
    assert not box.is_awaited(), "whether or not the receiver has taken it yet"
    assert receiver.finish() == 1
    assert not box.is_awaited(), "it may be busy with that item"
    with pytest.raises(TimeoutError):
        box.get(timeout_s=0.0)
    assert not box.is_awaited()
