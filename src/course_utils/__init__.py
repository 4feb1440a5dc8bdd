"""Models, objectives and tools of the course "Pre-training Paradigms: BERT, GPT, and T5"."""
