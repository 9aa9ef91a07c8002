"""Pixels: BGRX from a screen into the YUV 4:2:0 that encoders take, changed parts alone.

`converter` decides what to convert, `yuv` and `libyuv` do it, `macroblocks` counts in H.264's squares.
Imports the ground alone.
"""
