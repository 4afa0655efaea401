"""From facts to a plan: one decision for each found thing, and the edits that carry it out."""
