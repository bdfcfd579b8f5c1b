"""The demo: a company that does not exist, its books, and the workflow that reports on them."""
