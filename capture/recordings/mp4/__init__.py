"""Reads and writes the index of a finished MP4, MOV or M4A, so that its packets can be copied as ranges of bytes."""
