"""Difficult cases: a blinded reading study made from evaluations, and scored."""
