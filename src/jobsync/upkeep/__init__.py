"""What keeps an installation in order: doctor, retention, and the looks at past runs."""
