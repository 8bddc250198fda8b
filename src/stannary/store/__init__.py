"""Where things are kept and fetched from.

What belongs here: sources (`sources/`: hub, web, bucket, registry addresses made into local files,
verified against the digests they announce), blobs (`blobs/`: contents by their digest). Tables and migrations come
with the registry.
What does not: rules, verdicts, anything that reads what a file means.
To add a source: a module in `sources/` with `fetch(address, fetcher, dest)`, and a row in its table.
"""
