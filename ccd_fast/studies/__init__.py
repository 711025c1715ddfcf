"""Studies: tables over many trainings, and over seeds; the paper's, on the paper's data sets and on any other.

Imports outputs, bench and what is below them.
"""

from ccd_fast.studies.study import Study, ablate, compare, foresee, reproduce

__all__ = ["Study", "ablate", "compare", "foresee", "reproduce"]
