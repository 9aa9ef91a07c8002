"""Time: one epoch, one timeline, and everything measured on it.

`timeline` gives frames their pts, `sample_timeline` turns stamped blocks into an unbroken run of samples, `drift`
measures a device's clock and `resampler` corrects it. Pure: no threads, no devices. Imports the ground alone.
"""
