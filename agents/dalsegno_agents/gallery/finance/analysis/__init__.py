"""Figures, trends and anomalies of books that were brought to one shape."""
