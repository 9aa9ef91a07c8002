"""Threads of the pipeline: `worker` runs one, `mailbox` is the queue between two.

`dispatcher` hands events to a listener without letting it hold anybody up. Imports the ground alone.
"""
