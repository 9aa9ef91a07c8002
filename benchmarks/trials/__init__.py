"""Real faults, each with its promise; `benchmarks.faults` tries them.

There is one module for each thing that can go wrong: the recorder itself, its commands, sound, screen, disk and time.
"""
