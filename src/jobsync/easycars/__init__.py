"""Stock in: each dealership's EasyCars feed becomes rows."""
