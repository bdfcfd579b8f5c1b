"""What the demo shows in the end: figures and findings. Pure: a report in, lines out."""

from collections import Counter
from pathlib import Path
from typing import Any, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from dalsegno.output import cell, table
from dalsegno_agents.gallery.finance.model import Figure, Finding, Report
from dalsegno_agents.gallery.finance.units import shown

FINDINGS_SHOWN: Final = 8
_SEVERITIES: Final = ("critical", "high", "medium", "low")
_STYLES: Final = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "dim"}


def figures_table(figures: tuple[Figure, ...], currency: str) -> Table:
    """The headline figures."""
    rows = [
        (
            cell(figure.label),
            cell(f"{figure.entity}, {figure.period}"),
            shown(figure.value, figure.unit, currency),
        )
        for figure in figures
    ]
    return table("Figure", "Of", ">Value", rows=rows)


def findings_table(findings: tuple[Finding, ...]) -> Group:
    """How many findings of each severity, and the gravest of them."""
    counts = Counter(finding.severity for finding in findings)
    counted = ", ".join(f"{counts[word]} {word}" for word in _SEVERITIES if counts[word])
    rows = [
        (cell(finding.severity, _STYLES[finding.severity]), cell(finding.message))
        for finding in findings[:FINDINGS_SHOWN]
    ]
    parts: list[Any] = [
        Text(f"Compliance: {len(findings)} findings ({counted or 'none'})", style="bold"),
        table("Severity", "*Finding", rows=rows),
    ]
    if len(findings) > FINDINGS_SHOWN:
        parts.append(Text(f"… and {len(findings) - FINDINGS_SHOWN} more in the report", "dim"))
    return Group(*parts)


def as_json(report: Report, files: list[Path]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "headline": report.headline,
        "figures": [figure.model_dump(mode="json") for figure in report.figures],
        "findings": [finding.model_dump(mode="json") for finding in report.findings],
        "anomalies": report.anomalies,
        "approved_by": report.approved_by,
        "files": [str(path) for path in files],
    }
