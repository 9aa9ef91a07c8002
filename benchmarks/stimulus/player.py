"""Chooses how a stimulus plays, by the sound server that runs."""

from __future__ import annotations

import subprocess
from typing import Final

from benchmarks.stimulus.graph import GraphPlayback
from benchmarks.stimulus.pulse import PlaybackStream, Render

__all__ = ["LATENCY_S", "player"]

#: A short buffer, so that what is planned is heard soon.
LATENCY_S: Final = 0.15


def player(render: Render, latency_s: float = LATENCY_S) -> PlaybackStream | GraphPlayback:
    """Return a stream to the default output that knows when each of its samples is heard.

    PipeWire's PulseAudio server knows that only to a cycle of its graph, 21 ms and more; its own streams know it well.
    """
    found = subprocess.run(["pactl", "info"], capture_output=True, text=True, check=True).stdout
    return GraphPlayback(render) if "PipeWire" in found else PlaybackStream(render, latency_s)
