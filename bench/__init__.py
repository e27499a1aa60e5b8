"""What tracker costs, as ratios between alternatives in one run: `make bench`."""
