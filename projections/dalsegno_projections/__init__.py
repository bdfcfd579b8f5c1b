"""Everything a person sees: views, queries, traces, folded from the history."""
