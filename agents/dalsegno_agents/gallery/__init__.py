"""Ready agents, each a deployable service."""
