"""PURE: what a workflow is and how a run of it goes on. No I/O, no clock, no chance."""
