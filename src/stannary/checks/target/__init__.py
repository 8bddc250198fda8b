"""What is attacked: models of every kind behind one protocol, and the space in which their inputs may move.

What belongs here: the `Target` protocol and its implementations (torch, ONNX, scikit-learn, boosted trees,
Keras, a callable, HTTP), the wrapper that counts what an evaluation really spent, `Domain` (bounds, types
and links of input columns), readers of evaluation data, and statistics of what was measured (intervals,
stop rules, paired tests).
What does not: attacks, verdicts, evidence. The families `robustness`, `privacy`, `poisoning` and `llm`
build on this package; they still do not see each other (docs/adr/0016).
To add a kind of model: a module here with a class that follows `interface.Target`, and a row in `load.py`.
Only `import stannary.checks.target.…` of a module that needs it imports torch or numpy.
"""
