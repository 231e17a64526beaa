"""Stand-ins for the services that jobsync talks to, written from the vendors' papers and not from our clients."""
