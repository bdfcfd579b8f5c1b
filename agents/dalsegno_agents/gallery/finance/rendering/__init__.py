"""The finished report: content once, rendered as HTML, PDF and a workbook."""
