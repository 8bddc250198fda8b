"""Bounded readers of model, data and code files. They state facts; they judge nothing.

What belongs here: one module a format (`gguf.py`, `onnx.py`, ...), each with a function
`read(view, sink)` that walks the content within the sink's budget and reports typed facts
with byte offsets, embedded content (`sink.child`), and what it could not read
(`sink.incomplete`). Containers read what every real loader could see, not what one library sees.
What does not: rules, severities, verdicts, network, execution of anything that was read.
To add a format: write `formats/NAME.py` with `read`, and add one `Format` row to
`identify.py` (magic bytes or a probe). Facts are named `NAME.what`; document each with its
fields in the module's docstring: rules (data files in `checks/static/rules/`) match on them.
"""
