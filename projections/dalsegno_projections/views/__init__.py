"""The views: each a pure fold of the history into rows, one file per view."""
