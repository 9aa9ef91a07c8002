"""Cuts encoded sound to the sample: what was before the beginning or after the end is no longer in the packets.

A packet reaches beyond the samples that it is played for: its neighbours overlap it, and its decoder has to converge.
If a player only skips that part, everybody else can still hear it. So the packets at a cut are decoded, silenced beyond
it, and encoded again; all others stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, cast

import av
import numpy as np

from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.opus_repacketizer import split
from capture.codecs.stereo_aac import windows
from capture.media import SAMPLE_RATE, SampleArray, is_voice_note

__all__ = ["CUTTABLE", "RUN_IN_S", "decoded", "silenced", "switch_place"]


class _Overlap(NamedTuple):
    """How the packets of a codec continue each other."""

    #: How many samples a packet reaches into its successors.
    samples: int
    #: Whether the second packet may be followed by the successor of the first, its equivalent.
    fits: Callable[[bytes, bytes], bool]
    #: Whether the encoder needs the run-in after a beginning until its packets are followed without a click: Opus
    #: predicts each packet from what it remembers. A tone came back with half its level wrong for 20 ms.
    settles: bool


#: AAC's windows overlap by a packet, and their shapes have to match. Opus looks ahead, and its decoder follows any
#: packet.
CUTTABLE: Final = {
    "aac": _Overlap(1024, lambda one, other: windows(one) == windows(other) != "", settles=False),
    "opus": _Overlap(312, lambda one, other: True, settles=True),
}

#: How much sound around a cut to decode and encode, in seconds: the run-in of decoder and encoder, then the search for
#: a packet that fits. AAC seldom needs more than the first.
RUN_IN_S: Final = 0.2
_REACH_S: Final = 1.2


def silenced(
    packets: Sequence[bytes], source: av.AudioCodecContext, packet_samples: int, begin: int, end: int
) -> list[bytes]:
    """Return consecutive packets of one track, silent before sample `begin` and from `end` on.

    Samples are counted at `SAMPLE_RATE`, in what a decoder makes of all `packets`, priming included; each packet takes
    `packet_samples`, and one of Opus holds one frame. `begin` is 0 or at least one packet. `source` has the codec, one
    of `CUTTABLE`, and its header. The number of packets stays, and so do those away from the cuts.
    """
    cut = _Cut(source, packet_samples)
    made = list(packets)
    if begin > 0:
        made = cut.begun_at(made, begin)
    if end < len(made) * packet_samples:
        made = cut.ended_at(made, end)
    return made


class _Cut:
    """Encodes packets of one track again."""

    def __init__(self, source: av.AudioCodecContext, packet_samples: int) -> None:
        self._source = source
        self._codec = source.codec.canonical_name
        self._packet_samples = packet_samples
        self._overlap = CUTTABLE[self._codec]
        self._run_in, self._reach = (
            -(-round(wide_s * SAMPLE_RATE) // packet_samples) for wide_s in (RUN_IN_S, _REACH_S)
        )

    def begun_at(self, packets: list[bytes], begin: int) -> list[bytes]:
        """Return the packets, silent before sample `begin`."""
        last_to_change = (begin - 1) // self._packet_samples
        near = packets[: last_to_change + self._reach]
        again = self._encoded_again(near, begin, len(near) * self._packet_samples)
        # The last ones of these do not know what follows.
        settled = last_to_change + (self._run_in if self._overlap.settles else 0)
        for place in range(settled, len(near) - self._run_in):
            if self._overlap.fits(again[place], near[place]):
                return again[: place + 1] + packets[place + 1 :]
        return self._encoded_again(packets, begin, len(packets) * self._packet_samples)

    def ended_at(self, packets: list[bytes], end: int) -> list[bytes]:
        """Return the packets, silent from sample `end` on."""
        last_to_keep = (end - self._overlap.samples) // self._packet_samples - 1
        before = max(0, last_to_keep - self._reach)
        near = packets[before:]
        again = self._encoded_again(near, 0, end - before * self._packet_samples)
        place = switch_place(self._source, near[: max(0, last_to_keep + 1 - before)], again, self._run_in)
        if place is None:
            return self._encoded_again(packets, 0, end)
        return packets[: before + place + 1] + again[place + 1 :]

    def _encoded_again(self, packets: Sequence[bytes], begin: int, end: int) -> list[bytes]:
        """Return an equivalent of each packet, silent before sample `begin` and from `end` on."""
        channels = self._source.channels
        count = len(packets) * self._packet_samples
        samples = np.zeros((count + self._overlap.samples, channels), np.float32)
        found = decoded(self._source, packets, channels)[:count]
        # A decoder may drop its own priming.
        at = count - len(found)
        samples[at : at + len(found)] = found
        samples[: max(0, begin)] = 0
        samples[max(0, end) :] = 0
        encoder = AudioEncoder(self._codec, channels, voice=is_voice_note(self._source.extradata))
        # The encoder puts its priming before the samples.
        made = [bytes(one) for one in (*encoder.encode(samples[self._overlap.samples :]), *encoder.finish())]
        if self._codec == "opus":
            # Those of a voice note hold several frames, and how many depends on the sound.
            made = [frame for packet in made for frame in split(packet)]
        return made[: len(packets)]


def switch_place(
    source: av.AudioCodecContext, near: Sequence[bytes], again: Sequence[bytes], run_in: int
) -> int | None:
    """Return the last of the packets `near` that the successor of its equivalent in `again` may follow; None without.

    The encoder of `again` began with the first of them, so the first `run_in` of its packets follow none. It may have
    made more packets than there are in `near`.
    """
    overlap = CUTTABLE[source.codec.canonical_name]
    places = [place for place in range(len(near) - 1, run_in - 1, -1) if overlap.fits(again[place], near[place])]
    if not places or not overlap.settles:
        return places[0] if places else None

    beyond = again[len(near) : len(near) + run_in]
    kept = decoded(source, near, source.channels)
    usual = decoded(source, [*again[: len(near)], *beyond], source.channels)[len(kept) :]
    wanted = np.concatenate((kept, usual))

    def difference(place: int) -> float:
        found = decoded(source, [*near[: place + 1], *again[place + 1 : len(near)], *beyond], source.channels)
        return float(np.abs(found[: len(wanted)] - wanted[: len(found)]).max(initial=0.0))

    # Where the decoder remembers little, as in a pause of speech.
    return min(places, key=difference)


def decoded(source: av.AudioCodecContext, packets: Iterable[bytes], channels: int) -> SampleArray:
    """Decode packets with the codec and the header of `source`; return float32 (n, channels) at `SAMPLE_RATE`.

    Some decoders leave the priming out of what they return.
    """
    decoder = cast(av.AudioCodecContext, av.CodecContext.create(source.codec.canonical_name, "r"))
    decoder.extradata = source.extradata
    if source.codec.canonical_name == "pcm_s16le":
        decoder.sample_rate, decoder.layout = source.sample_rate, source.layout
    resampler = av.AudioResampler("flt", "mono" if channels == 1 else "stereo", SAMPLE_RATE)
    frames: list[av.AudioFrame | None] = []
    for packet in [*packets, None]:
        given: av.Packet[Any] | None = None if packet is None else av.Packet(packet)
        frames += cast("list[av.AudioFrame | None]", decoder.decode(given))
    parts = [np.zeros((0, channels), np.float32)]
    for frame in [*frames, None]:
        if frame is not None:
            # The packets have no holes; rounded timestamps would make the resampler think so.
            frame.pts = None
        parts += [cast(SampleArray, part.to_ndarray().reshape(-1, channels)) for part in resampler.resample(frame)]
    return np.concatenate(parts)
