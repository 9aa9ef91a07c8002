"""Runs the recorder on whole desktops: GNOME, KDE and sway with their portals, without a screen or a graphics card.

`root` makes a Debian to run them in, `session` starts one, `hands` does what a user does, and `trial` records.
"""
