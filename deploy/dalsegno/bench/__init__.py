"""Benchmarks: what orchestration costs, measured beside the bare loop that is its limit."""
