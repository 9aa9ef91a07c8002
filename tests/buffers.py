"""A replay buffer with encoders of its own."""

from __future__ import annotations

from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.video_encoder import VideoEncoder
from capture.media import SampleArray
from capture.replay.buffer import ReplayBuffer
from capture.replay.packets import ReplayTrack

__all__ = ["EncodedBuffer"]


class EncodedBuffer(ReplayBuffer):
    """Holds up to `length_s` of a picture of 320x180, unless `video` is None, and of stereo sound.

    It keeps the encoders alive: the tracks of a clip are made from theirs.
    """

    def __init__(self, video: str | None, audio: str, *, fps: int, length_s: float) -> None:
        self.pictures = VideoEncoder(video, 320, 180, fps, quality="high", cuttable=True) if video else None
        self._samples = AudioEncoder(audio, 2)
        tracks = [ReplayTrack.of(self._samples.template)]
        if self.pictures is not None:
            tracks.insert(0, ReplayTrack.of(self.pictures.template))
        super().__init__(length_s, 1 << 30, tracks)
        self._sound_track = len(tracks) - 1

    def add_sound(self, data: SampleArray) -> None:
        """Encode `data` and add it: (n, 2) float32."""
        self.add(self._sound_track, self._samples.encode(data))
