"""The other systems of the paper's results table, a file a system or family.

Imports labels, student and what is below them.
"""
