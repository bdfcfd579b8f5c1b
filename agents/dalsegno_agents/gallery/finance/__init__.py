"""Five agents that turn a company's books into a finished financial report."""
