"""Encoders: frames or samples in, packets out.

`video_encoder` and `audio_encoder` drive FFmpeg through PyAV, with the options in `video_presets`; `encoder_choice`
tries out hardware encoders. `h264_slices` writes pictures that need no encoder. `stereo_aac` encodes identical channels
once, and `opus_repacketizer` groups Opus packets for voice notes. Imports the ground modules, `formats`, `threads`,
`timing` and `pixels`; does not depend on files, devices or the replay buffer.
"""
