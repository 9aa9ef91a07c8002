"""A program to record: ten seconds of something to look at and to listen to. ``python -m demo``."""
