"""``compat = "official"``: what the published code does where it differs from the method as described (section 8).

For comparing a run with the published one, not for speed. :mod:`quirks` holds each difference as a function;
:mod:`teacher`, :mod:`views` and :mod:`passes` put them together; ``recipes.official`` says which knobs they allow.
Imports labels, evaluation and what is below them.
"""
