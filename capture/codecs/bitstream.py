"""Reads and writes bits as strings of 0 and 1, which are fast to slice and to join."""

from __future__ import annotations

__all__ = ["BitReader", "bits_of", "bytes_of"]


def bits_of(data: bytes) -> str:
    return f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}" if data else ""


def bytes_of(bits: str) -> bytes:
    """Pack `bits`, at least one, padded with zeros to a whole byte."""
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


class BitReader:
    """Reads bits from the front. Raises `IndexError` past the end."""

    def __init__(self, data: bytes) -> None:
        self.bits = bits_of(data)
        self.place = 0

    def number(self, count: int) -> int:
        """Read the next `count` bits as an unsigned number."""
        self.place += count
        if self.place > len(self.bits):
            raise IndexError("the bits end early")
        return int(self.bits[self.place - count : self.place], 2)
