"""From outcomes to a report, and from a report to text, Markdown, JSON and diffs."""
