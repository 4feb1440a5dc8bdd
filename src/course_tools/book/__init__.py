"""The web book: its pages, its assets, its identity and its notebooks."""
