"""The server: a REST API under `/api/v1`, and what belongs to running it. A shell: no decisions, no SQL, no parsing of models.

What belongs here: operations (one function each: a call in, a reply out), how they are described (OpenAPI) and reached
(ASGI), who is let in. To add one: write the function in `api/`, and a row in its table; the description, the check of
what comes in, the rights and the errors follow from the row.

An operation sees a `Call`: the principal, the registry as that principal sees it, what was sent. It returns a struct,
a `Reply`, or raises an error of the house; `problems.py` makes `application/problem+json` of it.
"""
