"""query: materialises the result topics into the read view and serves it. The one station users look at.

station     topics → view, one transaction per batch        store, partitions   its SQL, by COPY
rows        records → rows; checks, results: their fields    few                 a small batch in one statement
retention   days that are dropped                            rebuilding          the view made again
reads       view → rows                                      compose             rows → shapes of the contract
paging      cursors and day windows                          waking, following   streams: when to read, and how far
routes      the HTTP endpoints
"""
