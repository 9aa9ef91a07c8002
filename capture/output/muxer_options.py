"""The options of FFmpeg's muxers, by its names for their formats."""

from __future__ import annotations

from typing import Final

__all__ = ["CLUSTERED", "FRAGMENTED", "options_of"]

#: The formats that are written in fragments, and those that are written in clusters, to be safe from a crash.
FRAGMENTED: Final = frozenset({"mp4", "mov", "ipod"})
CLUSTERED: Final = frozenset({"matroska", "webm"})

_FRAGMENTED: Final = {
    "movflags": "hybrid_fragmented+delay_moov+frag_keyframe+default_base_moof",
    "frag_duration": "300000",
}
_CLUSTERS: Final = {"cluster_time_limit": "200"}

#: FFmpeg 9 would count in a unit common to all tracks, 1/720000 s. Chapters of 50 minutes are too long for it, and then
#: there is no text track; after 99 minutes, the headers need 64 bits.
_IN_MS: Final = {"movie_timescale": "1000"}

#: Muxer options by FFmpeg's format name. A plain WAV cannot count beyond 4 GB, six hours; it becomes an RF64 when it
#: has to.
_OPTIONS: Final[dict[str, dict[str, str]]] = {"mp4": _IN_MS, "mov": _IN_MS, "ipod": _IN_MS, "wav": {"rf64": "auto"}}

#: What crash-safe files need as well. Durations are in microseconds, but in milliseconds for clusters.
_CRASH_SAFE: Final[dict[str, dict[str, str]]] = {
    **dict.fromkeys(FRAGMENTED, _FRAGMENTED),
    **dict.fromkeys(CLUSTERED, _CLUSTERS),
    "ogg": {"page_duration": "200000"},
}

#: How far the muxer lets one track run ahead of another before it writes what it has. A still picture sends a packet
#: only now and then; at the default of 10 s, all sound since then would wait in memory for the next one, and a crash
#: would lose it.
_INTERLEAVE_US: Final = 200_000


def options_of(form: str, *, crash_safe: bool) -> dict[str, str]:
    """Return the options for a file of format `form`."""
    options = _OPTIONS.get(form, {})
    if not crash_safe:
        # By default, FFmpeg would write each packet by itself, too.
        return {**options, "flush_packets": "0"}
    interleaving = {"flush_packets": "1", "max_interleave_delta": str(_INTERLEAVE_US)}
    return {**options, **_CRASH_SAFE.get(form, {}), **interleaving}
