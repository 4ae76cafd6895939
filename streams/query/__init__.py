"""query: materialises the result topics into the read view and serves it. The one station users look at.

station     topics → view, one transaction per batch        store, partitions   its SQL
rows        records → rows                                   paging              cursors and day windows
reads       view → rows                                      compose             rows → shapes of the contract
routes      the HTTP endpoints
"""
