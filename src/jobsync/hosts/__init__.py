"""A vendor's host, as either slice asks it: how it is spared, and what is remembered of it."""
