"""A daily sector-rotation pipeline on Apache Spark: five batch stages from prices to a portfolio."""

__version__ = "0.2.0"
