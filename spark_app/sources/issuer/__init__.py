"""The issuer of the sector funds, State Street: all holdings of a fund, from its daily workbook.

There is one file, `workbook.py`; the Yahoo source calls it if `source.holdings_provider` is issuer.
"""
