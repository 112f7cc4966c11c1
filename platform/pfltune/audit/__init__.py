"""Certificates of comparisons: made of what was found, and checked by training some of it again."""
