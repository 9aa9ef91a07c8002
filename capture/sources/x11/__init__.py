"""The X11 screen: pixels, damage, pointer and windows.

`xcb` sends the protocol's bytes where speed counts, `xlib` is python-xlib for the rest; `reader` grabs, and
`change_watch` follows damage. Imports `sources.protocols` and the ground; used by the screen and window sources.
"""
