"""The web console: pages made on the server, each with a `.json` twin of the same data and the same rights.

What belongs here: views (a call in, what is shown out), templates, the two static files, and how a browser is let in
(`frame.py`: session, origin, form token, errors as pages). What does not: a decision, a right or a query of its own that the API
would not have: views ask the registry as the principal sees it.

To add a page: a function in `views/` that returns a `Shown` or a `Go`, a row in its `PAGES`, a template. A template sees nothing
but the data of the JSON twin. Everything is escaped; a policy of contents forbids inline script and style.
"""
