"""Background jobs: what is to be done as a pure description, and the executors that do it.

What belongs here: a job and what comes of it (`model.py`), the protocol (`interface.py`), the tries of a job as a state
machine without I/O (`attempts.py`), what runs a handler inside a worker (`handling.py`), and the executors: `inline.py`,
`pool.py` (the supervised local processes), `ray_.py` (a Ray cluster, the extra `ray`) and `queue.py` (a durable table, whose
jobs `worker.py` takes and gives to one of the others).
What does not: what a kind of job does. A handler is named as "module:function" and comes from the rooms above.
To add an executor: a module with the protocol's methods that passes `stannary.testing.executor_conformance`.
"""
