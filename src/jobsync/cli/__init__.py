"""The command line: one file per noun; options in, one call, exit code out."""
