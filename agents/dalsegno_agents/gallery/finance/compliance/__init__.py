"""The rule pack, and what each rule looks at."""
