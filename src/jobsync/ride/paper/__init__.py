"""Paper: pages, text, fonts and bars, and how they become a PDF. It knows no fiscal word."""

PICTURE_BYTES_MAX = 8 * 1024 * 1024  # of a file that is to stand on a page
