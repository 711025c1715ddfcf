"""``compat = "official"``: what the published code does where it differs from the method as described.

For comparing a run with the published one, not for speed. :mod:`quirks` holds each difference as a function,
:mod:`teacher`, :mod:`views` and :mod:`passes` put them together, :mod:`rules` says which knobs they allow.
"""
