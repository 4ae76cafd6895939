"""Rows → shapes of the wire contract, one file per noun. Pure."""
