"""The pages of a run, ``report.html`` and ``review.html``, each of which needs nothing but itself.

Imports studies, demo and what is below them.
"""

from ccd_fast.report.page import FILE, PICTURES, write

__all__ = ["FILE", "PICTURES", "write"]
