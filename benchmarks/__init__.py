"""How fast the pipeline is, as ratios within one run: `make bench`."""
