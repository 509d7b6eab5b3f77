"""Spark: the session, what a cluster needs, the added jars, Java's errors, and what makes a small run start quickly.

Read session.py first.
"""
