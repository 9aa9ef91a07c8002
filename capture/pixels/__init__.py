"""Converts a screen's BGRX pixels to the YUV 4:2:0 that encoders take, only where they changed.

`converter` decides what to convert, `yuv` and `libyuv` convert it, and `macroblocks` divides pictures into H.264's
16 × 16 squares. Imports only the ground modules.
"""
