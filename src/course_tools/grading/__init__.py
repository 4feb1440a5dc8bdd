"""Grading: from a folder of notebooks to marks, with what was handed in behind a jail."""
