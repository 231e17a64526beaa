"""What every run shares: locks, fence, record, items, progress. It knows no car and no invoice."""
