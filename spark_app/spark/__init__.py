"""Spark: the session, what a cluster needs, added jars, Java's classes and errors, and a quick start of small runs.

Read session.py first.
"""
