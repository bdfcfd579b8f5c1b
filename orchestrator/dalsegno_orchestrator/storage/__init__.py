"""How the event store lies in each database: recorders of the library, with our index of runs."""
