"""The saga: it reacts to reports and publishes the next commands."""
