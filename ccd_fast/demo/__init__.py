"""The demo world: a picture-book data set drawn from code, so that nothing need be downloaded.

Imports outputs, bench and what is below them.
"""
