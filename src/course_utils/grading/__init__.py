"""Grading: public checks for students here; the grader of handed-in notebooks in `grade`."""

from course_utils.grading.public import check

__all__ = ["check"]
