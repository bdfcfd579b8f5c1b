"""Where the views lie: rows, positions and parked events, on SQLite or PostgreSQL.

The room of this package that knows `eventsourcing`: its tracking recorders keep the positions, with
our tables added, so that rows and position are one transaction.
"""
