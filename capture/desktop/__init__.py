"""What the user's desktop offers around a recording: `doctor`, the list of `devices`, `autostart` and `notify`.

Imports `sources` and everything below; used by `cli` alone, never while samples or frames flow.
"""
