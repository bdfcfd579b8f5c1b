"""CEL: how expressions are read, checked and evaluated."""
