"""How fast the pipeline is, mostly as ratios within one run: `make bench`. Read run.py first."""
