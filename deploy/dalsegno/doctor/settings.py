"""What a doctor is told from outside, beside what the services are."""

from dalsegno_projections.settings import ProjectionSettings


class DoctorSettings(ProjectionSettings):
    """Where to look."""

    nats_monitor_url: str | None = None
    """The monitoring port (`http_port`) of the NATS servers, several with commas:
    `http://host:8222`. Only there does a server say how often it forces data to disk."""
