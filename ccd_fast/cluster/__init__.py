"""Labelling and predicting over shards on many machines: Ray schedules, what is on disk says what is done.

The pixels, scores and labels are those of :mod:`ccd_fast.outputs`; here is only what spreads them over a cluster.
Imports outputs and what is below it. Ray itself is imported by ``pool`` alone.
"""
