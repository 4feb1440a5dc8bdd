"""`python -m course_utils`: the `course` command where no script of that name is."""

from course_utils.cli import main

main()
