"""The X11 screen: pixels, damage, pointer and windows, over our own connection.

`xcb` speaks the protocol's bytes where speed counts, `xlib` is python-xlib where it does not; `reader` grabs,
`change_watch` hears damage. Imports `sources.protocols` and the ground; used by the screen and window sources.
"""
