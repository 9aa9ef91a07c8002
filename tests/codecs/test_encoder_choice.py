"""An encoder is chosen by whether it encodes a test picture here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from capture.codecs import encoder_choice as module
from capture.codecs.encoder_choice import choose_encoder
from capture.codecs.video_encoder import VideoEncoder
from capture.errors import EncoderError, NotReadyError


def test_auto_takes_a_working_hardware_encoder_or_says_that_none_works(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def try_out(working: str) -> Callable[..., None]:
        def one(codec: str, name: str, *size: float) -> None:
            tried.append(name)
            if name != working:
                raise EncoderError("made no packet from a test picture")

        return one

    monkeypatch.setattr(module, "_try_out", try_out("h264_qsv"))
    name, why = choose_encoder("h264", "auto", 640, 480, 30)
    assert (name, tried) == ("h264_qsv", ["h264_nvenc", "h264_qsv"])
    assert why.startswith("h264_qsv: ")
    monkeypatch.setattr(module, "_try_out", try_out("none of them"))
    name, why = choose_encoder("h264", "auto", 640, 480, 30)
    assert name == "libx264"
    assert all(hardware in why for hardware in ("h264_nvenc", "h264_qsv", "h264_amf", "h264_videotoolbox"))
    # An encoder given by name is not tried first, and a codec with a single encoder needs no reason.
    tried.clear()
    assert choose_encoder("h264", "h264_amf", 640, 480, 30) == ("h264_amf", "")
    assert choose_encoder("vp8", "auto", 640, 480, 30) == ("libvpx", "")
    assert tried == []


def test_trying_an_encoder_encodes_a_picture() -> None:
    module._try_out("h264", "libx264", 640, 480, 30)
    with pytest.raises(NotReadyError):
        module._try_out("h264", "h264_nvenc" if sys.platform != "darwin" else "h264_amf", 640, 480, 30)


def test_an_encoder_that_refuses_the_test_picture_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    def refuse(encoder: VideoEncoder, *_: Any) -> None:
        raise EncoderError("refused a frame")

    close = VideoEncoder.close

    def note(encoder: VideoEncoder) -> None:
        closed.append(encoder.encoder)
        close(encoder)

    monkeypatch.setattr(VideoEncoder, "encode_frame", refuse)
    monkeypatch.setattr(VideoEncoder, "close", note)
    with pytest.raises(EncoderError):
        module._try_out("h264", "libx264", 640, 480, 30)
    assert closed == ["libx264"]
