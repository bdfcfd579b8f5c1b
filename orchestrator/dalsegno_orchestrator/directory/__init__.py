"""What is known of agents: who is there, how well they do, whom to leave alone for a while."""
