"""The JSON summary of a recording, as scripts read it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from capture.events import AudioSummary, Event, EventKind, Summary, VideoSummary

#: The example of the documented contract.
SUMMARY = Summary(
    path="/abs/out.mp4",
    container="mp4",
    duration_s=12.34,
    size_bytes=123456,
    video=VideoSummary("h264", "libx264", 1920, 1080, 321, 49, 0),
    audio=(AudioSummary("internal", "Speakers", "aac", 48_000, 2, 12.34, 0.0, 3.1, -6.2, False),),
    paused_s=0.0,
    events=(Event(EventKind.DEVICE_LOST, 3.2, "Speakers"),),
    stopped_by="duration",
    check="ok",
)

CONTRACT = """
{"path": "/abs/out.mp4", "container": "mp4", "duration_s": 12.34, "size_bytes": 123456,
 "video": {"codec": "h264", "encoder": "libx264", "width": 1920, "height": 1080, "frames": 321, "unchanged": 49,
           "dropped": 0},
 "audio": [{"source": "internal", "device": "Speakers", "codec": "aac", "sample_rate": 48000, "channels": 2,
            "duration_s": 12.34, "inserted_silence_s": 0.0, "drift_ppm": 3.1, "peak_dbfs": -6.2, "silent": false}],
 "paused_s": 0.0, "events": [{"at_s": 3.2, "kind": "device_lost", "detail": "Speakers"}], "stopped_by": "duration",
 "check": "ok"}
"""


def test_the_json_has_the_documented_keys_in_order() -> None:
    # Compared as text, because the order of the keys counts.
    assert json.dumps(SUMMARY.as_json()) == json.dumps(json.loads(CONTRACT))


def test_the_reason_for_the_encoder_is_in_the_json_if_there_was_a_choice() -> None:
    assert SUMMARY.video is not None
    chosen = replace(SUMMARY, video=replace(SUMMARY.video, encoder_choice="h264_qsv: it has just encoded a picture"))
    assert chosen.as_json()["video"]["encoder_choice"].startswith("h264_qsv")


def test_missing_tracks_are_null_or_empty() -> None:
    silent_film = replace(SUMMARY, audio=(), events=()).as_json()
    assert (silent_film["audio"], silent_film["events"]) == ([], [])
    assert replace(SUMMARY, video=None).as_json()["video"] is None


def test_tracks_and_events_keep_their_order() -> None:
    tracks = tuple(replace(SUMMARY.audio[0], source=name) for name in ("internal", "mic", "app"))
    events = tuple(
        Event(kind, at_s) for kind, at_s in ((EventKind.MARK, 1.0), (EventKind.PAUSE, 0.5), (EventKind.MARK, 2.0))
    )
    found = replace(SUMMARY, audio=tracks, events=events).as_json()
    assert [track["source"] for track in found["audio"]] == ["internal", "mic", "app"]
    assert [(event["kind"], event["at_s"]) for event in found["events"]] == [
        ("mark", 1.0),
        ("pause", 0.5),
        ("mark", 2.0),
    ]


@pytest.mark.parametrize(("value", "rounded"), [(1 / 3, 0.333), (2 / 3, 0.667), (0.0004, 0.0), (-90.30899, -90.309)])
def test_seconds_and_levels_are_rounded_to_three_decimals(value: float, rounded: float) -> None:
    track = replace(SUMMARY.audio[0], duration_s=value, inserted_silence_s=value, drift_ppm=value, peak_dbfs=value)
    found = replace(
        SUMMARY, duration_s=value, paused_s=value, audio=(track,), events=(Event(EventKind.MARK, value),)
    ).as_json()
    assert (found["duration_s"], found["paused_s"], found["events"][0]["at_s"]) == (rounded, rounded, rounded)
    assert {found["audio"][0][name] for name in ("duration_s", "inserted_silence_s", "drift_ppm", "peak_dbfs")} == {
        rounded
    }
