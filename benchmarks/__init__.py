"""Measurements of whole processes, beside what others would use, in the same run."""
