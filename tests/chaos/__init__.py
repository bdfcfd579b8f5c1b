"""Chaos: a system of real processes, a nemesis that breaks them, and a checker that counts."""
