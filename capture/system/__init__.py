"""What the recorder asks of the operating system for itself.

`memory` hands back memory that is free; `priority` lets threads run before others.
"""
