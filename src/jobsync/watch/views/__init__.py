"""The same facts as a screen, a page, metrics and JSON."""
