"""Engines for policies in Rego, the escape hatch: somebody's own OPA, as a program or a server, or `regopy`.

What belongs here: the Engine protocol (`interface.py`) and one module an engine. A policy in Rego has the package
`stannary.gate` and says what is wrong in `deny`: texts, or objects with `msg` and, if it likes, `rule`, `evidence`
and `help`. An empty `deny` allows; one that is not there, or an engine that fails, is an error and never a pass.
"""
