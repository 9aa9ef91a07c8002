"""Desktop integration: the checks of `doctor`, the list of `devices`, `autostart` and notifications (`notify`).

Imports `sources` and everything below; used only by `cli`, never while samples or frames flow.
"""
