"""What a PipeWire that skips cycles plays is judged rightly."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.cycles import _NUMBERS, _judge
from benchmarks.stimulus.graph import RATE

CYCLE = 1024
CYCLE_MS = 1000 * CYCLE / RATE


def block(at_cycle: int, first: int | None) -> tuple[float, np.ndarray]:
    """Return a block of numbered samples, or of silence."""
    numbers = np.zeros(CYCLE) if first is None else np.arange(first, first + CYCLE) % (_NUMBERS - 1) + 1
    return at_cycle * CYCLE / RATE, (numbers / _NUMBERS).astype(np.float32)


@pytest.mark.parametrize(
    ("blocks", "skips", "skipped", "silent", "lost"),
    [
        ([block(0, 0), block(1, CYCLE), block(2, 2 * CYCLE)], 0, 0, 0, 0),
        # The player waited for the graph.
        ([block(0, 0), block(2, CYCLE), block(3, 2 * CYCLE)], 1, 1, 0, 0),
        # The graph went on without it, and it was not heard.
        ([block(0, 0), block(3, None), block(4, 2 * CYCLE)], 1, 2, 1, 1),
        # The numbers begin again.
        ([block(0, _NUMBERS - 1 - 2 * CYCLE), block(1, _NUMBERS - 1 - CYCLE), block(2, 0)], 0, 0, 0, 0),
    ],
)
def test_skips_silence_and_losses_are_told_apart(
    blocks: list[tuple[float, np.ndarray]], skips: int, skipped: int, silent: int, lost: int
) -> None:
    found = _judge(blocks)
    assert found.seconds == pytest.approx(blocks[-1][0])
    assert found.skips == skips
    times_ms = [CYCLE_MS * cycles for cycles in (skipped, silent, lost)]
    assert [found.skipped_ms, found.silent_ms, found.lost_ms] == pytest.approx(times_ms, abs=0.1)
