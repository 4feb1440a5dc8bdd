"""The course's models in the reader's browser: weights, tokenizer and code as script files."""
