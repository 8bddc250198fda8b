"""Running work: executors, jails for what reads untrusted content, progress.

What belongs here: `interface.py` (the Executor protocol: jobs in, outcomes out), its
implementations (`pool.py`: supervised processes; `inline.py`: this process), background jobs over them (`jobs/`), the jail
(`jail.py` over `landlock.py`, `seccomp.py`, `limits.py`, `bubblewrap.py`), alarms after so much
processor time (`alarm.py`), Ctrl-C that is not lost (`interrupt.py`) and progress counts.
What does not: what a job means. Jobs and outcomes are bytes; rooms above give them types.
To add an executor: a module with the protocol's four methods that passes the tests in
`tests/unit/run/test_pool.py`. To add a jail level: a row in `jail.LEVELS`, what it does
in `enter`, what it needs in `probe`, and probes in `tests/e2e/test_escape.py`.
"""
