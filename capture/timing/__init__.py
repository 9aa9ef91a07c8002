"""Timing of a recording: one epoch, one timeline, and everything measured on it.

`timeline` gives frames their pts, `sample_timeline` turns stamped blocks into continuous samples, `drift` measures how
far a device's clock is off, and `resampler` corrects it. No threads, no devices. Imports only the ground modules.
"""
