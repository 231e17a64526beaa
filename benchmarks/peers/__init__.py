"""The other ways of doing the same work; each file is a program."""
