"""What follows from what came in, rule by rule: pure functions over a `Turn`."""
