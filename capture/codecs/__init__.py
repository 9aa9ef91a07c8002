"""Encoders: frames or samples in, packets out.

`video_encoder` and `audio_encoder` drive FFmpeg through PyAV, `video_presets` says with which options.
`h264_slices` writes the pictures that need no encoder, `stereo_aac` and `opus_repacketizer` save work on sound.
Imports the ground, `formats`, `threads`, `timing` and `pixels`; knows nothing of files, devices or the replay buffer.
"""
