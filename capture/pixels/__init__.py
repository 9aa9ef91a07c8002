"""Converts a screen's BGRX pixels to the YUV 4:2:0 that encoders take, only where they changed.

`part_converter` converts the parts that change, by `yuv` and `libyuv`, and `picture` keeps the whole. These two steps
may be on two threads: the one that grabs does the first, so that what waits for the one that encodes takes less than
half of the memory. `macroblocks` divides pictures into H.264's 16 × 16 squares. Imports only the ground modules.
"""
