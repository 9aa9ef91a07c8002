"""Where frames and samples come from: screens, windows, sound devices, applications, and synthetic sources.

`protocols` defines what a source is, and `chooser` picks the adapter for this system. Each adapter imports its
platform library only once it is chosen. Imports the ground, `settings`, `pixels` and `timing`; used by `pipeline`.
"""
