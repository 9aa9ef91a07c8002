"""H.264 says that its frame rate is variable, except where a frame comes in every slot."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from reopened import stated_rate_flags

from capture.codecs.h264_frame_rate import says_constant_rate, with_rate_stated
from capture.codecs.video_encoder import VideoEncoder


def parameters_of(encoder: VideoEncoder) -> bytes:
    return bytes(encoder.template.codec_context.extradata or b"")


@pytest.mark.parametrize("constant", [False, True])
def test_the_encoder_states_its_rate(constant: bool) -> None:
    encoder = VideoEncoder("h264", 64, 48, 30, constant_fps=constant)
    parameters = parameters_of(encoder)
    assert says_constant_rate(parameters) is constant
    other = with_rate_stated(parameters, constant=not constant)
    assert says_constant_rate(other) is not constant
    assert with_rate_stated(other, constant=constant) == parameters
    assert with_rate_stated(parameters, constant=constant) is parameters


# Another profile, order of pictures, cropping, ratio of pixels and interlacing, in the header and in the frames.
@pytest.mark.parametrize(
    "options",
    [
        ("-profile:v", "high", "-bf", "2"),
        ("-profile:v", "baseline", "-vf", "setsar=37/29,crop=62:46"),
        ("-profile:v", "main", "-flags", "+ildct+ilme", "-color_primaries", "bt709", "-colorspace", "bt709"),
        ("-profile:v", "high444", "-pix_fmt", "yuv444p", "-chroma_sample_location", "topleft"),
    ],
)
def test_other_encoders_parameters_are_understood(options: tuple[str, ...], tmp_path: Path) -> None:
    path, changed = tmp_path / "made.h264", tmp_path / "changed.h264"
    source = ("-f", "lavfi", "-i", "testsrc=size=64x48:duration=1", "-pix_fmt", "yuv420p", "-g", "10")
    subprocess.run(["ffmpeg", "-v", "error", *source, *options, str(path)], check=True, timeout=30)
    assert stated_rate_flags(path) == {"0"}
    changed.write_bytes(with_rate_stated(path.read_bytes(), constant=True))
    assert stated_rate_flags(changed) == {"1"}
    for frames in zip(decoded(path), decoded(changed), strict=True):
        assert np.array_equal(*frames)


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


@pytest.mark.parametrize("data", [b"", b"\0\0\1\x67", b"\0\0\1\x67\x42\xc0\0\xdb\x11", b"\0\0\1\x41\0\0"])
def test_what_is_not_understood_stays(data: bytes) -> None:
    assert with_rate_stated(data, constant=False) is data
