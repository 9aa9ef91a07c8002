"""Defines the options of the verbs that control a running recorder, of config and of completion."""

from __future__ import annotations

from argparse import ArgumentParser

__all__ = ["add_recorder_name", "fill_completion", "fill_config", "fill_mark", "fill_pause", "fill_stop"]


def fill_mark(parser: ArgumentParser) -> None:
    add_recorder_name(parser)
    parser.add_argument("text", metavar="TEXT", nargs="?", default="", help="the title of the chapter")


def fill_pause(parser: ArgumentParser) -> None:
    add_recorder_name(parser)
    parser.add_argument("--toggle", action="store_true", help="resume if it is paused, as {pause} does")


def fill_stop(parser: ArgumentParser) -> None:
    add_recorder_name(parser)
    parser.add_argument("--all", action="store_true", help="end all recorders, also those in standby and replay")


def add_recorder_name(parser: ArgumentParser) -> None:
    parser.add_argument("--name", metavar="NAME", help="the recorder to control, if several can obey")


def fill_completion(parser: ArgumentParser) -> None:
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")


def fill_config(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("setting", metavar="NAME", nargs="?", help="a setting, like hotkeys.record (default: list all)")
    add("values", metavar="VALUE", nargs="*", help="its new value; record.audio takes several")
    add("--unset", action="store_true", help="go back to the default")
    add("--remove", action="store_true", help="with bind: undo it")
