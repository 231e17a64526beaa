"""A private PostgreSQL in a folder, gone with its last user; knows the standard library and nothing else."""
