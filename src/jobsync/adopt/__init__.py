"""Moving in from the program that jobsync replaces: its data, ids kept."""
