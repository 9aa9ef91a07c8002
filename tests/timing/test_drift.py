"""The drift meter finds the rate of a device's clock despite late blocks and gaps."""

from __future__ import annotations

import numpy as np
import pytest

from capture.media import SAMPLE_RATE
from capture.timing.drift import DriftMeter

EPOCH_S = 1000.0
BLOCK = 960


def observe(meter: DriftMeter, ppm: float, seconds: float, jitter_s: float = 0.0) -> None:
    """Feed `meter` the blocks of a device whose first sample was heard at the epoch."""
    random = np.random.default_rng(1)
    for number in range(int(seconds * SAMPLE_RATE / BLOCK)):
        device_s = number * BLOCK / SAMPLE_RATE
        late_s = abs(random.normal(0, jitter_s)) if jitter_s else 0.0
        meter.observe(device_s, EPOCH_S + device_s / (1 + ppm * 1e-6) - device_s + late_s)


@pytest.mark.parametrize("ppm", [0, 200, -200, 1000])
def test_drift_is_measured(ppm: float) -> None:
    meter = DriftMeter()
    observe(meter, ppm, 30)
    assert meter.ppm == pytest.approx(ppm, abs=1.1)


def test_late_blocks_are_not_mistaken_for_drift() -> None:
    meter = DriftMeter()
    observe(meter, 100, 120, jitter_s=0.005)
    assert meter.ppm == pytest.approx(100, abs=2)


def test_drift_is_0_until_enough_seconds_were_observed() -> None:
    meter = DriftMeter()
    assert meter.ppm == 0.0
    observe(meter, 200, DriftMeter.MIN_SECONDS)
    assert meter.ppm == 0.0
    observe(meter, 200, DriftMeter.MIN_SECONDS + 1.1)
    assert meter.ppm != 0.0


def test_gaps_of_unknown_length_do_not_change_the_slope() -> None:
    meter = DriftMeter()
    for number in range(4):
        for second in range(8 * number, 8 * number + 6):
            device_s = second + 0.5
            meter.observe(device_s, EPOCH_S - device_s * 100e-6 + 0.01 * number)
        meter.interrupt()
    assert meter.ppm == pytest.approx(100, abs=0.1)


def test_drift_is_0_if_every_stretch_is_a_single_observation() -> None:
    meter = DriftMeter()
    for second in range(20):
        meter.observe(second, EPOCH_S)
        meter.observe(second + 1, EPOCH_S)
        meter.interrupt()
    assert meter.ppm == 0.0
