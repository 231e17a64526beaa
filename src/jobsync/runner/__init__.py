"""What every run shares: locks, fence, record, items, progress. It has never heard of a car or an invoice."""
