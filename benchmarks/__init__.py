"""Measurements of `capture`, each beside what a user would run instead.

Each script answers one question and is run from the repository's root::

    python -m benchmarks.sync     are picture and sound together?
    python -m benchmarks.cost     what does recording cost?
    python -m benchmarks.start    how long until it records?

They need Linux with Xvfb, PulseAudio and ffmpeg, and bring up a screen and a sound server of their own. Each prints a
table for people; `--json` adds the figures for programs. The exit code is 1 where `capture` breaks a bound.
"""
