"""Everything that can be wrong with a definition beside its shape, found at once."""
