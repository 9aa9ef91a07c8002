"""Compares what `check` reports of a file with what ffprobe does."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from capture.recordings.check import CheckReport

__all__ = ["agrees_with_ffprobe"]


def ffprobe(path: Path) -> list[dict[str, Any]]:
    """Return what ffprobe says of each track: kind, codec, picture size or rate, start, end, number of packets."""
    asked = "stream=codec_type,codec_name,width,height,sample_rate,channels,start_time"
    asked += ":packet=stream_index,pts_time,duration_time,flags:frame=stream_index,pts_time,nb_samples"
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", asked, "-of", "json", path], capture_output=True, check=True
    )
    found = json.loads(done.stdout)
    for index, stream in enumerate(found["streams"]):
        mine = [item for item in found["packets_and_frames"] if item["stream_index"] == index]
        packets = [item for item in mine if item["type"] == "packet" and "D" not in item["flags"]]
        frames = [item for item in mine if item["type"] == "frame" and "nb_samples" in item]
        stream["packets"] = len(packets)
        stream["start_s"] = float(stream.get("start_time", 0.0))
        stream["end_s"] = max(float(packet["pts_time"]) + float(packet.get("duration_time", 0)) for packet in packets)
        if frames:
            # With some codecs the last packet is too long, with others the last decoded block: the shorter one plays.
            last = frames[-1]
            frames_end_s = float(last["pts_time"]) + last["nb_samples"] / int(stream["sample_rate"])
            stream["end_s"] = min(stream["end_s"], frames_end_s)
    return list(found["streams"])


def agrees_with_ffprobe(report: CheckReport, path: Path, *, start_tolerance_s: float) -> bool:
    judged = ffprobe(path)
    assert [stream.kind for stream in report.streams] == [stream["codec_type"] for stream in judged]
    for stream, judge in zip(report.streams, judged, strict=True):
        assert stream.codec == judge["codec_name"]
        assert stream.start_s == pytest.approx(judge["start_s"], abs=start_tolerance_s)
        assert stream.start_s + stream.duration_s == pytest.approx(judge["end_s"], abs=0.01)
        if stream.kind == "video":
            assert (stream.width, stream.height) == (judge["width"], judge["height"])
            assert stream.frames == judge["packets"]
        else:
            assert (stream.sample_rate, stream.channels) == (int(judge["sample_rate"]), judge["channels"])
    return True
