"""Everything the book measures: one file an experiment, one table, one record each."""
