#!/usr/bin/env bash
# FFmpeg 8 (in PyAV 18.1.0) hides the title of an MP4 from other programs once it is to keep a tag of one's own.
#
# MP4 drops tags that iTunes has no name for, such as the name of the screen that was recorded; `use_metadata_tags` is
# there to keep them. It does, but it writes the usual ones the same way: as a list of QuickTime's keys, and no longer
# as iTunes's `©nam`. FFmpeg reads both, so a test with its own tools sees nothing; mutagen, which players use, finds
# no title. An M4A drops even the titles of tracks, which an MP4 keeps; a track's `handler_name` stays in both.
# Python 3.11 to 3.13 on Linux; PYTHON names one. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install av==18.1.0 numpy==2.4.6 mutagen==1.48.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import av
import numpy as np
from mutagen.mp4 import MP4


def written(path: str, **options: str) -> tuple[dict[str, str], list[str], str | None]:
    """Return the tags and the titles of tracks that FFmpeg reads, and the title that mutagen does.

    The handlers of the tracks have their titles, too.
    """
    with av.open(path, "w", options=options) as container:
        container.metadata.update(title="Talk", screen="HDMI-1")
        tracks = [container.add_stream("aac", rate=48000, layout="mono") for _ in range(2)]
        for track, title in zip(tracks, ("Internal", "Microphone"), strict=True):
            track.metadata.update(title=title, handler_name=title)
        for number in range(20):
            for track in tracks:
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
                frame.sample_rate, frame.pts = 48000, 1024 * number
                container.mux(track.encode(frame))
        for track in tracks:
            container.mux(track.encode(None))
    with av.open(path) as container:
        tags = {name: text for name, text in container.metadata.items() if name in ("title", "screen")}
        # FFmpeg reads the title of a track under another name than it writes it.
        titles = [text for stream in container.streams if (text := stream.metadata.get("name"))]
        assert [stream.metadata["handler_name"] for stream in container.streams] == ["Internal", "Microphone"]
    return tags, titles, (MP4(path).tags or {}).get("©nam", [None])[0]


print("PyAV", av.__version__)
usual, kept, m4a = written("a.mp4"), written("b.mp4", movflags="use_metadata_tags"), written("c.m4a")
for name, (tags, titles, title) in (("MP4", usual), ("with use_metadata_tags", kept), ("M4A", m4a)):
    print(f"{name}: FFmpeg reads {tags} and tracks {titles}; mutagen reads the title {title}")
assert usual == ({"title": "Talk"}, ["Internal", "Microphone"], "Talk")
assert kept == ({"title": "Talk", "screen": "HDMI-1"}, ["Internal", "Microphone"], None)
assert m4a == ({"title": "Talk"}, [], "Talk")
PYTHON
