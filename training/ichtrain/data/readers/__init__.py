"""Readers: labelled head CT in the layout it comes in -> rows of a manifest.

Each reader is one file of the same shape: its options, then one arrow
`rows_from_<layout>(source, options, progress) -> Reading`.
"""
