"""The executive summary: its facts, its words, and the check of every number in it."""
