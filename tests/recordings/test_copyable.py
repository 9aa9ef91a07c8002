"""What already is what an export needs is copied; only tracks that are not are encoded again."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.video.stream import VideoStream
from numbered import HEIGHT, WIDTH, number_of, numbered
from written import RATE, Sound, write

from capture.codecs.audio_encoder import AudioEncoder
from capture.formats import CONTAINERS
from capture.output.muxer import Muxer
from capture.recordings.check import check
from capture.recordings.export import Exported, Wishes, export
from capture.recordings.presets import PRESETS
from capture.recordings.transcode import remake

FPS = 10
LENGTH_S = 2.0

ALL, PICTURE, SOUND = "it already fits: copied", "the picture already fits: copied", "the sound already fits: copied"


def film(path: Path, *, b_frames: int = 0, form: str = "yuv420p", codec: str = "aac", layout: str = "stereo") -> Path:
    with av.open(str(path), "w") as made:
        made.metadata["title"] = "My film"
        video = made.add_stream("libx264", rate=FPS, options={"bf": str(b_frames), "b_strategy": "0"})
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, form
        audio = made.add_stream(codec, rate=RATE, layout=layout)
        assert isinstance(audio, AudioStream)
        for number in range(round(LENGTH_S * FPS)):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="bgra").reformat(format=form)
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            made.mux(video.encode(frame))
        made.mux(video.encode(None))
        count = {"stereo": 2, "5.1": 6}[layout]
        tone = 0.2 * np.sin(2 * np.pi * 440 * np.arange(round(LENGTH_S * RATE)) / RATE).astype(np.float32)
        sound = av.AudioFrame.from_ndarray(np.tile(tone, (count, 1)), format="fltp", layout=layout)
        sound.sample_rate, sound.pts, sound.time_base = RATE, 0, Fraction(1, RATE)
        for part in av.AudioResampler(audio.codec_context.format, layout, RATE).resample(sound):
            made.mux(audio.encode(part))
        made.mux(audio.encode(None))
    return path


def packets(path: Path, kind: str) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(one) for one in container.demux(container.streams.get(**{kind: 0})[0]) if one.size]


def exported(path: Path, name: str, **wishes: Any) -> Exported:
    made = export(path, name, PRESETS[name], None, Wishes(**wishes))
    assert check(made.path).ok
    return made


@pytest.mark.parametrize(
    ("make", "name", "wishes", "note"),
    [
        (lambda path: film(path), "web", {}, ALL),
        (lambda path: film(path), "whatsapp", {}, ALL),
        (lambda path: film(path), "web", {"max_size": True}, ALL),
        (lambda path: film(path, b_frames=2), "discord", {}, ALL),
        (lambda path: film(path, b_frames=2), "whatsapp", {}, SOUND),
        (lambda path: film(path), "web", {"scale": (WIDTH // 2, HEIGHT // 2)}, SOUND),
        (lambda path: film(path), "web", {"loudness_lufs": -23.0}, PICTURE),
        (lambda path: film(path, layout="5.1"), "web", {}, PICTURE),
        (lambda path: film(path, codec="ac3"), "web", {}, PICTURE),
        (lambda path: film(path, form="yuv444p"), "web", {}, SOUND),
        (lambda path: film(path, form="yuvj420p"), "web", {}, SOUND),
        (lambda path: film(path), "editor", {}, SOUND),
        (lambda path: film(path.with_suffix(".mkv")), "web", {}, PICTURE),
        (lambda path: film(path.with_suffix(".mkv"), b_frames=2), "web", {}, None),
    ],
)
def test_what_fits_is_copied(
    make: Callable[[Path], Path], name: str, wishes: dict[str, Any], note: str | None, tmp_path: Path
) -> None:
    path = make(tmp_path / "film.mp4")
    if wishes.pop("max_size", False):
        wishes["most_bytes"] = path.stat().st_size + 2_000
    made = exported(path, name, **wishes)
    assert [one for one in made.notes if "fits: copied" in one] == ([] if note is None else [note])
    assert (packets(made.path, "video") == packets(path, "video")) is (note in (ALL, PICTURE))
    assert (packets(made.path, "audio") == packets(path, "audio")) is (note in (ALL, SOUND))
    with av.open(str(made.path)) as container:
        shown = [frame.reformat(WIDTH, HEIGHT).to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert [number_of(picture) for picture in shown] == list(range(round(LENGTH_S * FPS)))


def test_a_copy_is_for_others_and_plays_while_it_loads(tmp_path: Path) -> None:
    made = exported(film(tmp_path / "film.mp4"), "web").path
    data = made.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_what_is_too_large_is_encoded_again(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4")
    most = round(path.stat().st_size * 0.8)
    made = exported(path, "web", most_bytes=most)
    assert made.size_bytes <= most
    assert not any("copied" in note for note in made.notes)


def test_a_voice_note_stays_as_it_is(tmp_path: Path) -> None:
    for voice, note in ((True, ALL), (False, None)):
        path = tmp_path / f"note-{voice}.ogg"
        audio = AudioEncoder("opus", 1, voice=voice)
        muxer = Muxer(path, CONTAINERS["ogg"])
        muxer.start([audio.template])
        tone = (0.2 * np.sin(0.06 * np.arange(2 * RATE)[:, None])).astype(np.float32)
        for packet in [*audio.encode(tone), *audio.finish()]:
            muxer.write(0, packet)
        muxer.close()
        muxer.keep()
        made = exported(path, "voice-note")
        assert list(made.notes) == ([] if note is None else [note])
        assert made.duration_s == pytest.approx(2.0, abs=1e-3)


def test_a_picture_that_lies_on_its_side_is_turned(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4")
    data = bytearray(path.read_bytes())
    # The matrix of the first `tkhd`: a quarter turn, as phones write it.
    place = data.index(b"tkhd", data.rindex(b"moov")) + 44
    turn = [0, 0x10000, 0, -0x10000, 0, 0, HEIGHT << 16, 0, 0x40000000]
    data[place : place + 36] = b"".join(number.to_bytes(4, "big", signed=True) for number in turn)
    path.write_bytes(data)
    made = exported(path, "web")
    assert made.picture is not None
    assert (made.picture.width, made.picture.height) == (HEIGHT, WIDTH)
    assert SOUND in made.notes


def test_sound_that_was_cut_away_by_an_edit_list_is_not_in_the_copy(tmp_path: Path) -> None:
    path = write(tmp_path / "talk.m4a", (Sound(end_s=4.0),))
    assert ALL in exported(path, "web").notes
    data = bytearray(path.read_bytes())
    # The length that is played, and from where on in the track: as programs trim that leave all of it in the file.
    place = data.index(b"elst", data.rindex(b"moov")) + 12
    length, begins = struct.unpack_from(">II", data, place)
    struct.pack_into(">II", data, place, length // 2, begins + 2 * RATE)
    path.write_bytes(data)
    made = exported(path, "web")
    assert not any("copied" in note for note in made.notes)
    assert made.duration_s == pytest.approx(2.0, abs=0.03)
    # Two seconds of the four, a packet before for the decoder and one behind from the encoder's delay, rounded up.
    assert len(packets(made.path, "audio")) <= 2 * RATE / 1024 + 3


def moved(path: Path, made: Path, *, later_s: float = 0.0, dropped: int = 0) -> Path:
    """Copy a film with its picture `later_s` later, and without its first frames."""
    with av.open(str(path)) as source, av.open(str(made), "w") as copy:
        streams = {track.index: copy.add_stream_from_template(track, opaque=True) for track in source.streams}
        count = 0
        for packet in source.demux():
            if packet.pts is None or not packet.size:
                continue
            if packet.stream.type == "video":
                count += 1
                if count <= dropped:
                    continue
                packet.pts += round(later_s / packet.time_base)
                packet.dts = packet.pts
            packet.stream = streams[packet.stream_index]
            copy.mux(packet)
    return made


def times_of(path: Path) -> list[tuple[int, float]]:
    """Return the number that each frame shows, and when players show it."""
    with av.open(str(path)) as container:
        begins_s = max(0, container.start_time or 0) / av.time_base
        shown = [(frame.reformat(WIDTH, HEIGHT), frame.time) for frame in container.decode(video=0)]
    return [(number_of(frame.to_ndarray(format="gray")), round(at_s - begins_s, 3)) for frame, at_s in shown]


@pytest.mark.parametrize("later_s", [0.0, 0.04])
def test_a_picture_is_copied_out_of_matroska_with_its_times(later_s: float, tmp_path: Path) -> None:
    path = moved(film(tmp_path / "film.mkv"), tmp_path / "later.mkv", later_s=later_s)
    made = exported(path, "web")
    assert PICTURE in made.notes
    assert packets(made.path, "video") == packets(path, "video")
    assert [number for number, _ in times_of(made.path)] == [number for number, _ in times_of(path)]
    found = zip(times_of(made.path), times_of(path), strict=True)
    assert all(abs(at_s - before_s) <= 0.001 for (_, at_s), (_, before_s) in found)
    sounds = [stream for stream in made.streams if stream.kind == "audio"]
    assert (sounds[0].start_s, sounds[0].duration_s) == pytest.approx((0.0, LENGTH_S), abs=0.03)


def test_a_picture_that_begins_without_a_key_frame_is_encoded_again(tmp_path: Path) -> None:
    path = moved(film(tmp_path / "film.mkv"), tmp_path / "headless.mkv", dropped=3)
    assert PICTURE not in export(path, "web", PRESETS["web"]).notes


def test_a_clip_in_another_container_keeps_its_picture(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mkv")
    made = remake(path, "mp4", None)
    assert made.encoder is None
    assert packets(made.path, "video") == packets(path, "video")
    assert remake(path, "gif", None).encoder == "gif"
