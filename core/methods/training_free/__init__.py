"""Closed forms on frozen features.

- `least_squares`: ridge regression on class indicators.
"""
