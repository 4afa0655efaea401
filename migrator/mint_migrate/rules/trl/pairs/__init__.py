"""What the trainings on preferences share: rows with a label, and pairs of answers."""
