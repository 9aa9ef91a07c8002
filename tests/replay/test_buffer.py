"""The replay buffer: how much it keeps, and which packets a clip gets. No encoder, no threads."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.codecs.video_encoder import _Repeat
from capture.replay.buffer import ReplayBuffer
from capture.replay.clip import LEAD_S, Clip
from capture.replay.packets import ReplayTrack, StoredPacket

PICTURE = ReplayTrack(is_picture=True, time_base=Fraction(1, 90_000))
SOUND = ReplayTrack(is_picture=False, time_base=Fraction(1, 48_000))

HUGE = 1 << 40
FRAME = 960
PRIMING = 312


def packet(pts: int, size: int, *, key: bool = True, repeat: bool = False, duration: int = 0) -> av.Packet[Any]:
    made: av.Packet[Any] = av.Packet(pts.to_bytes(8, "little", signed=True) + b"x" * size)
    made.pts = made.dts = pts
    made.duration, made.is_keyframe = duration, key
    if repeat:
        made.opaque = _Repeat()
    return made


def fill_pictures(buffer: ReplayBuffer, moments: list[tuple[float, bool, bool]], size: int = 100) -> None:
    """Add frames, each with its time, whether it is a key frame and whether it is a repeat."""
    for at_s, key, repeat in moments:
        buffer.add(0, [packet(round(at_s * 90_000), size, key=key, repeat=repeat)])


def fill_sound(buffer: ReplayBuffer, track: int, end_s: float, size: int = 50) -> None:
    for number in range(round(end_s * 48_000 / FRAME)):
        buffer.add(track, [packet(number * FRAME - PRIMING, size, duration=FRAME)])


def moving(end_s: float, key_every: int = 60, fps: int = 30) -> list[tuple[float, bool, bool]]:
    return [(number / fps, number % key_every == 0, False) for number in range(round(end_s * fps))]


def moments_s(packets: list[StoredPacket], track: ReplayTrack) -> list[float]:
    return [float(packet.pts * track.time_base) for packet in packets]


def test_a_clip_starts_at_a_key_frame_at_most_two_seconds_early() -> None:
    buffer = ReplayBuffer(20, HUGE, [PICTURE, SOUND])
    fill_pictures(buffer, moving(60))
    fill_sound(buffer, 1, 60)
    clip = buffer.snapshot(10.5)
    assert clip.asked_s == pytest.approx(49.5, abs=0.02)
    assert clip.start_s == pytest.approx(48)
    pictures, sound = clip.packets()
    assert pictures[0].is_key
    assert moments_s(pictures, PICTURE) == pytest.approx([48 + n / 30 for n in range(360)])
    heard_s = float((sound[0].pts + PRIMING) / 48_000)
    assert 48 <= heard_s < 48 + FRAME / 48_000
    assert all(int.from_bytes(p.data[:8], "little", signed=True) == p.pts for p in pictures + sound)


def test_a_still_picture_is_squeezed_right_before_the_requested_moment() -> None:
    buffer = ReplayBuffer(60, HUGE, [PICTURE, SOUND])
    still = [(n * 0.6, n % 17 == 0, n > 0) for n in range(50)]
    fill_pictures(buffer, still)
    fill_sound(buffer, 1, 30)
    for last_s in (3.3, 7.7, 12.1, 19.9):
        clip = buffer.snapshot(last_s)
        # Nothing is known of this stream, so no repeat can be left out.
        assert clip.asked_s - 18 * PICTURE.closest_s <= clip.start_s < clip.asked_s
        pictures, sound = clip.packets()
        assert pictures[0].is_key
        assert all(b.pts - a.pts >= PICTURE.closest_s * 90_000 for a, b in pairwise(pictures))
        assert (sound[0].pts + PRIMING) / 48_000 <= clip.asked_s


def test_a_group_with_changes_is_not_squeezed_but_starts_at_most_two_seconds_early() -> None:
    buffer = ReplayBuffer(60, HUGE, [PICTURE])
    fill_pictures(buffer, [(0, True, False), (1.0, False, False), (1.89, False, False), (2.49, True, True)])
    clip = buffer.snapshot(0.01, 2.45)
    assert clip.start_s == pytest.approx(2.44 - LEAD_S, abs=0.001)
    (pictures,) = clip.packets()
    assert moments_s(pictures, PICTURE) == pytest.approx([0.44, 1.0, 1.89])


def test_an_exact_clip_has_the_packets_that_decoding_its_start_needs() -> None:
    buffer = ReplayBuffer(60, HUGE, [PICTURE, SOUND])
    fill_pictures(buffer, moving(20))
    fill_sound(buffer, 1, 20)
    clip = buffer.snapshot(5.01, 18.0)
    pictures, sound = clip.exact_packets()
    assert clip.exact_start_s == pytest.approx(12.99)
    at = moments_s(pictures, PICTURE)
    assert at[:30] == pytest.approx([12 + n / 30 for n in range(29)] + [12.99])
    assert at[-1] < 18
    assert 0 <= 12.99 - (sound[0].pts + PRIMING) / 48_000 < FRAME / 48_000


def test_the_buffer_keeps_copies() -> None:
    buffer = ReplayBuffer(60, HUGE, [PICTURE])
    given_in = packet(0, 10)
    buffer.add(0, [given_in])
    given_in.pts = 77
    given_in.update(b"z" * 18)
    buffer.add(0, [packet(90_000, 10)])
    (kept,) = buffer.snapshot(60).packets()
    assert [(one.pts, one.data) for one in kept] == [(0, bytes(8) + b"x" * 10)]


def test_a_clip_does_not_change_while_the_buffer_fills() -> None:
    buffer = ReplayBuffer(5, HUGE, [PICTURE, SOUND])
    fill_pictures(buffer, moving(7.5))
    fill_sound(buffer, 1, 7.5)
    clip = buffer.snapshot(5)
    before = clip.packets()
    fill_pictures(buffer, [(at_s + 8, key, repeat) for at_s, key, repeat in moving(60)])
    assert clip.packets() == before
    assert buffer.snapshot(5).packets() != before


def test_a_group_larger_than_the_limit_is_dropped() -> None:
    buffer = ReplayBuffer(60, 5_000, [PICTURE, SOUND])
    fill_pictures(buffer, moving(10), size=1_000)
    assert buffer.size_bytes <= 5_000
    fill_sound(buffer, 1, 10)
    assert buffer.size_bytes <= 5_000


def test_a_still_screen_takes_hardly_any_memory() -> None:
    buffer = ReplayBuffer(3600, HUGE, [PICTURE])
    fill_pictures(buffer, [(n * 0.6, n % 17 == 0, n > 0) for n in range(6000)], size=60)
    assert buffer.size_bytes < 1_000_000


@pytest.mark.parametrize("rounded_s", [-4e-14, 0.0, 4e-14])
def test_a_frame_at_the_very_end_is_not_in_the_clip(rounded_s: float) -> None:
    buffer = ReplayBuffer(1, HUGE, [PICTURE, SOUND])
    fill_pictures(buffer, [(31.2, True, False), (33.2, True, False)])
    fill_sound(buffer, 1, 34)
    fill_pictures(buffer, [(34.2, False, True)])
    until_s = 33.2 + rounded_s
    # The buffer has only the sound of that time left.
    clip = buffer.snapshot(10, until_s)
    pictures, sound = clip.packets()
    assert (pictures, clip.counts) == ([], (0, len(sound)))
    assert clip.exact_packets()[0] == []
    assert 33.2 - 2 * FRAME / 48_000 < sound[-1].pts / 48_000 < 33.2


def test_an_empty_buffer_gives_an_empty_clip() -> None:
    buffer = ReplayBuffer(60, HUGE, [PICTURE, SOUND])
    assert buffer.seconds == 0.0
    clip = buffer.snapshot(30)
    assert clip.is_empty
    assert clip.packets() == ([], [])
    assert clip.exact_packets() == ([], [])


@st.composite
def screens(draw: st.DrawFn) -> list[tuple[float, bool, bool]]:
    """Draw frames as an encoder makes them: changes at any moment, repeats after 0.6 s, key frames by its rules."""
    at_s, key_s, changed_since = 0.0, -100.0, True
    made: list[tuple[float, bool, bool]] = []
    for _ in range(draw(st.integers(1, 120))):
        changed = not made or draw(st.booleans())
        changed_since = changed_since or changed
        wait_s = 1.9 if changed else 1.3 if changed_since else 10.0
        key = at_s - key_s >= wait_s
        if key:
            key_s, changed_since = at_s, False
        made.append((at_s, key, not changed))
        at_s += draw(st.sampled_from([1 / 30, 0.1, 0.3, 0.6])) if draw(st.booleans()) else 0.6
    return made


@settings(max_examples=150)
@given(screens(), st.floats(1, 30), st.integers(2_000, 60_000), st.floats(0.1, 40), st.floats(0, 1))
def test_the_bounds_hold_for_every_screen(
    screen: list[tuple[float, bool, bool]], kept_s: float, limit_bytes: int, last_s: float, end: float
) -> None:
    buffer = ReplayBuffer(kept_s, limit_bytes, [PICTURE, SOUND])
    sound = 0
    for at_s, key, repeat in screen:
        buffer.add(0, [packet(round(at_s * 90_000), 200, key=key, repeat=repeat)])
        assert buffer.size_bytes <= limit_bytes
        while sound * FRAME / 48_000 < at_s:
            buffer.add(1, [packet(sound * FRAME - PRIMING, 50, duration=FRAME)])
            sound += 1
            assert buffer.size_bytes <= limit_bytes
    assert buffer.seconds <= kept_s
    clip = buffer.snapshot(last_s, screen[-1][0] * end)
    _consistent(clip)


@settings(max_examples=150)
@given(screens(), st.floats(0.1, 40), st.floats(0.2, 1))
def test_a_clip_starts_at_most_two_seconds_early_and_never_late(
    screen: list[tuple[float, bool, bool]], last_s: float, end: float
) -> None:
    buffer = ReplayBuffer(1000, HUGE, [PICTURE])
    fill_pictures(buffer, screen)
    clip = buffer.snapshot(last_s, screen[-1][0] * end)
    _consistent(clip)
    (pictures,) = clip.packets()
    if pictures:
        assert clip.asked_s - LEAD_S - 1e-4 <= clip.start_s <= clip.asked_s + 1e-4
        # The clip shows the right frame at the requested moment.
        shown = [p.data for p in pictures if p.pts <= round(clip.asked_s * 90_000)]
        was = [at_s for at_s, _, _ in screen if round(at_s * 90_000) <= round(clip.asked_s * 90_000)]
        assert int.from_bytes(shown[-1][:8], "little") == round(was[-1] * 90_000)


def _consistent(clip: Clip) -> None:
    for packets, track in zip(clip.packets(), clip.tracks, strict=True):
        assert all(a.pts < b.pts for a, b in pairwise(packets))
        if packets and track.is_picture:
            assert packets[0].is_key
            kept = [int.from_bytes(p.data[:8], "little") for p in packets]
            assert kept == sorted(kept)
            # The decoder has a key frame to start from.
            assert sum(p.is_key for p in packets) >= 1
        for p in packets:
            assert p.pts < round(clip.until_s / track.time_base) or p.pts <= round(clip.asked_s / track.time_base)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_of_dropped_pictures_goes_back_to_the_system() -> None:
    # In a process of its own, whose allocator nothing else has used; in a thread, because threads have their own heaps.
    script = """
import threading
from fractions import Fraction
import av
from capture.replay.buffer import ReplayBuffer
from capture.replay.packets import ReplayTrack

def resident_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1e3 for line in status if line.startswith("VmRSS"))

buffer = ReplayBuffer(20, 10**9, [ReplayTrack(True, Fraction(1, 90_000))])
small = []

def fill(size_bytes, numbers):
    for number in numbers:
        packet = av.Packet(size_bytes)
        packet.pts = packet.dts = number * 3000
        packet.duration, packet.time_base, packet.is_keyframe = 3000, Fraction(1, 90_000), number % 15 == 0
        buffer.add(0, [packet])
        if number % 7 == 0:
            small.append(bytearray(700))

def work():
    before_mb = resident_mb()
    fill(200_000, range(1500))
    full_mb = resident_mb()
    fill(500, range(1500, 3000))
    print(before_mb, full_mb, resident_mb())

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    before_mb, full_mb, empty_mb = map(float, answer.stdout.split())
    assert full_mb - before_mb > 100
    assert empty_mb - before_mb < 25
