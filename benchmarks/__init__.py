"""Measurements of `capture`, next to what a user would run instead.

Each script answers one question. Run it from the repository's root::

    python -m benchmarks.sync     are picture and sound together?
    python -m benchmarks.cost     what does recording cost?
    python -m benchmarks.start    how long until it records?

They need Linux with Xvfb, PulseAudio and ffmpeg, and start a separate X server and sound server. Each prints a table;
`--json` adds the figures for programs. The exit code is 1 when `capture` breaks a bound.
"""
