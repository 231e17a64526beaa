"""How a server runs the jobs: unit files from settings, cron lines, what of them is on disk."""
