"""Every export is opened again with FFmpeg: it holds what the preset promises, at the right moments."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.video.stream import VideoStream
from numbered import HEIGHT, WIDTH, number_of, numbered
from reopened import first_loud_s, loudness, pictures, probe, sound, stated_rate_flags
from written import RATE, Picture, Sound, write

from benchmarks.hostile import FILES
from capture.errors import RecordingError, UsageError
from capture.media import SampleArray
from capture.recordings import contents
from capture.recordings.animation_report import report_animation
from capture.recordings.check import check
from capture.recordings.export import MIX, Exported, Wishes, export
from capture.recordings.loudness import measure
from capture.recordings.presets import PRESETS
from capture.system import private_files

LENGTH_S = 3.0

#: When each picture of the film begins, in seconds: irregular, as a screen changes.
STARTS_S = (0.0, 0.31, 0.36, 0.95, 1.02, 1.5, 2.04, 2.4)

#: The tone of each audio track.
TONES_HZ = (440.0, 1000.0)


def tone(hz: float, length_s: float = LENGTH_S, peak: float = 0.2) -> SampleArray:
    wave = peak * np.sin(2 * np.pi * hz * np.arange(round(length_s * RATE)) / RATE)
    return np.repeat(wave.astype(np.float32)[:, None], 2, axis=1)


def film(path: Path, tracks: Sequence[SampleArray] = (), *, starts_s: Sequence[float] = STARTS_S) -> Path:
    """Write pictures that show their number as other programs do: with B-frames, and a place that is nobody's business.

    Without `tracks`, each of `TONES_HZ` is one.
    """
    sounds = tracks or [tone(hz) for hz in TONES_HZ]
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"} if path.suffix == ".mp4" else {}) as made:
        made.metadata.update({"title": "My film", "location": "+52.5+013.4/"})
        video = made.add_stream("libx264", rate=30, options={"bf": "2", "crf": "10"})
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 90_000)
        streams = [made.add_stream("aac", rate=RATE, layout="stereo") for _ in sounds]
        made.start_encoding()
        for number, at_s in enumerate(starts_s):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="bgra").reformat(format="yuv420p")
            frame.pts, frame.time_base = round(at_s * 90_000), Fraction(1, 90_000)
            made.mux(video.encode(frame))
        made.mux(video.encode(None))
        for stream, samples in zip(streams, sounds, strict=True):
            assert isinstance(stream, AudioStream)
            audio = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout="stereo")
            audio.sample_rate, audio.pts, audio.time_base = RATE, 0, Fraction(1, RATE)
            made.mux(stream.encode(audio))
            made.mux(stream.encode(None))
    return path


def shown(path: Path) -> list[tuple[float, int]]:
    """Return when each frame begins, and its number."""
    with av.open(str(path)) as container:
        found = []
        for frame in container.decode(video=0):
            gray = frame.reformat(WIDTH, HEIGHT).to_ndarray(format="gray")
            assert frame.time is not None
            found.append((frame.time, number_of(gray)))
        return found


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def exported(path: Path, name: str, output: Path | None = None, **wishes: object) -> Exported:
    return export(path, name, PRESETS[name], output, Wishes(**wishes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "ending", "codecs"),
    [
        ("voice-note", "ogg", ["opus"]),
        ("whatsapp", "mp4", ["h264", "aac"]),
        ("discord", "mp4", ["h264", "aac"]),
        ("email", "mp4", ["h264", "aac"]),
        ("web", "mp4", ["h264", "aac"]),
        ("editor", "mp4", ["h264", "aac", "aac"]),
        ("podcast", "mp3", ["mp3"]),
        ("gif", "gif", ["gif"]),
    ],
)
def test_each_preset_makes_what_it_promises(name: str, ending: str, codecs: list[str], tmp_path: Path) -> None:
    path = film(tmp_path / "my film.mkv")
    before = path.read_bytes()
    made = exported(path, name)
    assert made.path == tmp_path / f"my film-{name}.{ending}"
    assert names(tmp_path) == sorted([path.name, made.path.name])
    assert path.read_bytes() == before
    assert [stream.codec for stream in made.streams] == codecs
    assert made.notes == ()
    found = probe(made.path)
    assert [stream["codec_name"] for stream in found["streams"]] == codecs
    assert float(found["format"]["duration"]) == pytest.approx(LENGTH_S, abs=0.1)
    assert made.size_bytes == made.path.stat().st_size < (PRESETS[name].most_bytes or 1_000_000)
    assert "13.4" not in str(found["format"].get("tags"))
    if name == "gif":
        assert report_animation(made.path).duration_s == pytest.approx(LENGTH_S, abs=0.1)
        return
    assert check(made.path).ok
    title = {**found["format"].get("tags", {}), **found["streams"][0].get("tags", {})}
    assert {key.lower(): value for key, value in title.items()}["title"] == "My film"
    # Both tones are in the one track that players play; those of editors are apart.
    heard = sound(made.path)
    tones = [loudness(heard.between(0.5, 2.5), hz, heard.rate) for hz in TONES_HZ]
    assert tones[0] > 0.1
    assert (tones[1] > 0.1) is (name != "editor")
    if ending == "mp4" and name != "editor":
        assert [number for _, number in shown(made.path)][: len(STARTS_S)] == list(range(len(STARTS_S)))
        assert [at_s for at_s, _ in shown(made.path)][: len(STARTS_S)] == pytest.approx(STARTS_S, abs=0.002)


def test_an_editor_gets_a_constant_rate_bt709_and_a_key_frame_each_second(tmp_path: Path) -> None:
    made = exported(film(tmp_path / "a.mkv"), "editor").path
    frames = shown(made)
    assert [at_s for at_s, _ in frames] == pytest.approx(np.arange(90) / 30, abs=0.001)
    for at_s, number in frames:
        # The one whose start is nearest, or before it.
        assert number == max(place for place, start_s in enumerate(STARTS_S) if start_s <= at_s + 1 / 60)
    with av.open(str(made)) as container:
        stream = container.streams.video[0]
        keys = [frame.time for frame in container.decode(stream) if frame.key_frame]
        context = stream.codec_context
        marks = (context.colorspace, context.color_primaries, context.color_trc, context.color_range)
    assert keys == [0, 1, 2]
    assert marks == (1, 1, 1, 1)
    assert check(made).streams[0].constant_fps == 30
    assert stated_rate_flags(made) == {"1"}
    assert stated_rate_flags(exported(tmp_path / "a.mkv", "whatsapp").path) == {"0"}


def test_frames_that_follow_each_other_too_fast_get_a_usual_rate(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", starts_s=[number / 1000 for number in range(8)])
    assert check(path).streams[0].constant_fps == pytest.approx(1000)
    assert check(exported(path, "editor").path).streams[0].constant_fps in (30, 60)


def test_colours_are_converted_and_not_only_marked(tmp_path: Path) -> None:
    path = tmp_path / "red.mp4"
    red = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    red[:, :] = (200, 40, 30)
    with av.open(str(path), "w") as made:
        video = made.add_stream("libx264", rate=30, options={"crf": "4"})
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.colorspace = 6
        for _ in range(30):
            frame = av.VideoFrame.from_ndarray(red, format="rgb24").reformat(format="yuv420p", dst_colorspace="ITU601")
            made.mux(video.encode(frame))
        made.mux(video.encode(None))
    for name in ("editor", "web"):
        with av.open(str(exported(path, name).path)) as container:
            frame = next(container.decode(video=0))
            matrix = "ITU709" if name == "editor" else "ITU601"
            shade = frame.reformat(format="rgb24", src_colorspace=matrix).to_ndarray()
        assert np.abs(shade[HEIGHT // 2, WIDTH // 2].astype(int) - (200, 40, 30)).max() <= 4


def test_the_index_of_a_web_film_comes_first(tmp_path: Path) -> None:
    content = exported(film(tmp_path / "a.mkv"), "web").path.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


def test_a_voice_note_is_one_that_messengers_send(tmp_path: Path) -> None:
    made = exported(film(tmp_path / "a.mp4"), "voice-note").path
    head = made.read_bytes().partition(b"OpusHead")[2]
    assert (head[1], struct.unpack_from("<I", head, 4)[0]) == (1, 16_000)
    assert b"WhatsApp" in made.read_bytes()
    with av.open(str(made)) as container:
        durations = {
            round(float(Fraction(packet.duration or 0) * (packet.time_base or 0)), 3) for packet in container.demux()
        }
    assert 0.06 in durations


def test_a_podcast_has_the_loudness_of_podcasts(tmp_path: Path) -> None:
    quiet = tone(440.0, 4.0, 0.02) * (1.5 + np.sin(np.arange(4 * RATE) / 4000)[:, None]).astype(np.float32)
    path = film(tmp_path / "a.mp4", [quiet, quiet[:, ::-1] * np.float32(0.5)])
    made = exported(path, "podcast")
    (after,) = measure(made.path)
    assert after.integrated_lufs == pytest.approx(-16, abs=0.5)
    assert after.true_peak_dbtp <= -1.0
    assert made.as_json()["loudness_lufs"] == [pytest.approx(-16, abs=0.5)]
    apart = exported(path, "editor", loudness_lufs=-20.0)
    assert [each.integrated_lufs for each in measure(apart.path)] == pytest.approx([-20, -20], abs=0.5)


@pytest.mark.parametrize(
    ("tracks", "ending", "heard"),
    [
        (MIX, "mp4", [(True, True)]),
        (((1,),), "mp4", [(False, True)]),
        (((1,), (0,)), "mp4", [(False, True), (True, False)]),
        ((), "mp4", []),
        (((0, 1),), "m4a", [(True, True)]),
    ],
)
def test_the_audio_tracks_are_those_that_were_chosen(
    tracks: str | tuple[tuple[int, ...], ...], ending: str, heard: list[tuple[bool, bool]], tmp_path: Path
) -> None:
    made = exported(film(tmp_path / "a.mkv"), "web", tmp_path / f"b.{ending}", tracks=tracks).path
    found = []
    for number in range(len([stream for stream in check(made).streams if stream.kind == "audio"])):
        track = sound(made, number)
        found.append(tuple(loudness(track.between(0.5, 2.5), hz, track.rate) > 0.1 for hz in TONES_HZ))
    assert found == heard


@pytest.mark.parametrize(
    ("name", "wishes", "output", "message"),
    [
        ("web", {"tracks": ((2,),)}, "b.mp4", "there is no audio track 3 in .*: there are audio tracks 1 to 2"),
        ("web", {"tracks": ((0,), (1,))}, "b.m4a", r"a \.m4a file has 1 audio track, not 2: mix them, .*1\+2"),
        ("podcast", {"tracks": ()}, "b.mp3", "there would be nothing in a .mp3 file without sound"),
        ("web", {}, "b.avi", r"b.avi is not a file that this preset makes of .*: end its name in \.mp4, \.webm"),
        ("web", {}, "a.mkv", "a.mkv is not a file that this preset makes"),
        ("web", {}, "taken.mp4", "taken.mp4 exists already"),
        ("discord", {"most_bytes": 900}, "b.mp4", "does not fit into 0.9KB: the smallest possible is"),
        ("editor", {"most_bytes": 9000, "tracks": MIX}, "b.wav", "does not fit into 9KB as .wav: choose another"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_left(
    name: str, wishes: dict[str, object], output: str, message: str, tmp_path: Path
) -> None:
    path = film(tmp_path / "a.mkv")
    (tmp_path / "taken.mp4").write_bytes(b"mine")
    with pytest.raises(UsageError, match=message) as caught:
        exported(path, name, tmp_path / output, **wishes)
    assert str(path) in str(caught.value) or output in str(caught.value) or "file" in str(caught.value)
    assert names(tmp_path) == ["a.mkv", "taken.mp4"]
    assert (tmp_path / "taken.mp4").read_bytes() == b"mine"


def test_sound_alone_stays_alone_and_a_gif_needs_a_picture(tmp_path: Path) -> None:
    song = write(tmp_path / "song.flac", (Sound(),), None)
    endings = {name: exported(song, name).path.suffix for name in PRESETS if name != "gif"}
    assert endings == {
        "voice-note": ".ogg",
        **dict.fromkeys(("whatsapp", "discord", "email", "web"), ".m4a"),
        "editor": ".wav",
        "podcast": ".mp3",
    }
    with pytest.raises(UsageError, match="has no picture to export for that"):
        exported(song, "gif")
    silent = write(tmp_path / "silent.mp4", (), Picture())
    with pytest.raises(UsageError, match="has no sound to export for that"):
        exported(silent, "podcast")
    assert [stream.kind for stream in exported(silent, "whatsapp").streams] == ["video"]


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv")
    (tmp_path / "a-gif.gif").write_bytes(b"mine")
    assert exported(path, "gif").path.name == "a-gif (2).gif"
    assert (tmp_path / "a-gif.gif").read_bytes() == b"mine"


def test_a_large_recording_is_made_to_fit(tmp_path: Path) -> None:
    path = tmp_path / "noise.mp4"
    noise = np.random.default_rng(3).integers(0, 255, (360, 1280, 3), np.uint8)
    with av.open(str(path), "w") as made:
        video = made.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = 640, 360, "yuv420p"
        for number in range(60):
            part = np.ascontiguousarray(noise[:, number * 8 : number * 8 + 640])
            made.mux(video.encode(av.VideoFrame.from_ndarray(part, format="rgb24")))
        made.mux(video.encode(None))
    done = exported(path, "discord", most_bytes=18_000)
    assert 15_000 <= done.size_bytes <= 18_000
    assert done.picture is not None
    assert done.picture.width < 640
    assert done.notes == (f"shrunk to {done.picture.width}x{done.picture.height} to fit into 18KB",)
    scaled = exported(path, "web", scale=(320, 320)).picture
    assert scaled is not None
    assert (scaled.width, scaled.height) == (320, 180)
    forced = exported(path, "web", scale=(100, 200), exact_scale=True).picture
    assert forced is not None
    assert (forced.width, forced.height) == (100, 200)


def test_a_film_of_a_phone_stands_upright(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4")
    content = path.read_bytes()
    # The matrix in the header of the track: as it is, and a quarter turn clockwise.
    plain = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    turned = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, HEIGHT << 16, 0, 1 << 30)
    at = content.index(plain, content.index(b"tkhd"))
    path.write_bytes(content[:at] + turned + content[at + len(plain) :])
    made = exported(path, "whatsapp")
    assert made.picture is not None
    assert (made.picture.width, made.picture.height) == (HEIGHT, WIDTH)
    with av.open(str(made.path)) as container:
        *_, last = container.decode(video=0)
        assert last.rotation == 0
        # What was at the left is at the top now.
        assert number_of(np.rot90(last.to_ndarray(format="gray"))) == len(STARTS_S) - 1
    capped = exported(path, "web", scale=(20, 80)).picture
    assert capped is not None
    assert (capped.width, capped.height) == (20, 80)


def test_a_film_of_wide_pixels_gets_square_ones(tmp_path: Path) -> None:
    path = tmp_path / "wide.mkv"
    with av.open(str(path), "w") as made:
        video = made.add_stream("libx264", rate=30)
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.sample_aspect_ratio = Fraction(2)
        for number in range(10):
            made.mux(video.encode(av.VideoFrame.from_ndarray(numbered(number), format="bgra")))
        made.mux(video.encode(None))
    made_of_it = exported(path, "web")
    assert made_of_it.picture is not None
    assert (made_of_it.picture.width, made_of_it.picture.height) == (2 * WIDTH, HEIGHT)
    assert [number for _, number in shown(made_of_it.path)] == list(range(10))


@pytest.mark.parametrize("ending", ["mkv", "mp4", "mp3"])
def test_sound_that_begins_later_stays_where_it_is(ending: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", (Sound(start_s=0.5), Sound(start_s=0.0, heard_from_s=1.5)))
    name = {"mkv": "editor", "mp4": "web", "mp3": "podcast"}[ending]
    made = exported(path, name, tmp_path / f"b.{ending}", tracks=((0,),)).path
    assert first_loud_s(sound(made), 0.1) == pytest.approx(0.5, abs=0.03)


def test_a_recording_that_is_cut_off_is_exported_as_far_as_it_goes_and_that_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", (Sound(end_s=4.0),), Picture(end_s=4.0))
    path.write_bytes(path.read_bytes()[:-6_000])
    made = exported(path, "web")
    assert 0 < made.duration_s < 4
    assert made.notes == (f"the recording is not complete: {check(path).problems[0]}",)
    assert pictures(made.path).end_s == pytest.approx(made.duration_s, abs=0.5)


def test_what_cannot_be_decoded_is_said(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv")
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][4]
    at = content.index(bytes(packet))
    content[at + 4 : at + packet.size] = bytes(packet.size - 4)
    path.write_bytes(content)
    made = exported(path, "web")
    assert made.duration_s == pytest.approx(LENGTH_S, abs=0.1)
    assert made.notes == ("1 packet of the picture cannot be decoded; it is frozen there",)


@pytest.mark.parametrize(
    "name",
    [
        *("claims-configuration.mp4", "claims-stts.mp4", "many-tracks.mkv", "nested-tags.mkv", "many-tags.wav"),
        *("laced-unknown.mkv", "listed-stts.mp4", "compressed-tag.mp3", "noise.mp3"),
    ],
)
def test_a_hostile_file_is_refused_in_words(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name](1_000_000))
    preset = "editor" if path.suffix in (".mp4", ".mkv") else "podcast"
    with pytest.raises(RecordingError, match=f"{name} cannot be exported") as caught:
        exported(path, preset)
    assert caught.value.exit_code == 1
    assert names(tmp_path) == [name]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tiny-blocks.webm", r"a track of 0\.0 s has \d+,\d+ packets: if you trust the file, add --no-limits"),
        ("one-sample-a-second.wav", "its sound has 1 samples a second: if you trust"),
        ("tiny-frames.mp3", "it holds more than 1,000 packets: if you trust"),
    ],
)
def test_what_takes_long_out_of_proportion_is_refused(
    name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capture.recordings.proportion._MOST_PACKETS", 1_000)
    if "1,000" in words:
        monkeypatch.setattr(contents, "most_packets", lambda size_bytes: 1_000)
    path = tmp_path / name
    path.write_bytes(FILES[name](40_000 if path.suffix == ".wav" else 100_000))
    with pytest.raises(RecordingError, match=words):
        exported(path, "podcast")
    assert names(tmp_path) == [name]


def test_a_file_that_claims_to_last_for_days_is_refused(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", starts_s=(0.0, 1.0, 200_000.0))
    with pytest.raises(RecordingError, match="claims to last longer than 24 hours: if you trust"):
        exported(path, "editor")
    assert names(tmp_path) == ["a.mkv"]


def test_a_name_that_appears_meanwhile_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, wanted = film(tmp_path / "a.mp4"), tmp_path / "b.m4a"
    copy_mode = private_files.copy_mode

    def late(old: Path, new: Path) -> None:
        copy_mode(old, new)
        wanted.write_bytes(b"mine")

    monkeypatch.setattr("capture.recordings.export.copy_mode", late)
    with pytest.raises(UsageError, match="exists already"):
        exported(path, "web", wanted)
    assert wanted.read_bytes() == b"mine"
    assert names(tmp_path) == ["a.mp4", "b.m4a"]


def test_a_relative_name_is_written_where_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film(tmp_path / "a.mp4")
    monkeypatch.chdir(tmp_path)
    made = exported(Path("a.mp4"), "web", Path("12:30.m4a"))
    assert made.path == Path("12:30.m4a")
    assert "12:30.m4a" in names(tmp_path)
