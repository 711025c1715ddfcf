"""The command line: each command parses, calls the library, and prints.

Commands import the library when they run, so that ``--help`` answers at once. Imports every room.
"""

from ccd_fast.cli.app import main

__all__ = ["main"]
