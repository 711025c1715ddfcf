"""Benchmarks: what each part does a second, beside what the machine could do at most.

One module a command of ``ccd-fast bench``; all of them time with :mod:`ccd_fast.bench.measure`. Imports training and
what is below it.
"""
