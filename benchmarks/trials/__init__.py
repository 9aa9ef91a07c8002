"""Faults made to happen for real, each with what is promised of it; `benchmarks.faults` tries them.

A module for what goes wrong: the recorder itself, its orders, the sound, the screen, the disk, the time.
"""
