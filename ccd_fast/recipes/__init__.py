"""Recipes: every knob of the method, typed; the built-in recipes; and how a recipe is read.

Imports the machine, kernels and the ground.
"""

from ccd_fast.recipes.config import Recipe

__all__ = ["Recipe"]
