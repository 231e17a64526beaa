"""What is true now: read from what runs left behind, judged, and drawn."""
