"""Where frames and samples come from: screens, windows, sound devices, applications, and synthetic sources.

`protocols` says what a source is and `chooser` picks the adapter of this system; each adapter imports its platform
library only when it is chosen. Imports the ground, `settings`, `pixels` and `timing`; used by `pipeline`.
"""
