"""How facts change a run, family by family. Used by `evolve` only."""
