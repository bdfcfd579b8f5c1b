"""From databases and files to one documented shape, and how the sources agree."""
