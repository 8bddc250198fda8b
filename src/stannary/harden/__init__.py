"""Hardening: a model is trained or wrapped so that attacks do less, and what that costs is measured.

What belongs here: adversarial training, TRADES, free adversarial training, training with differential privacy, randomised
smoothing with certificates, input and output defences, ensembles, robust trees; each as a function that a training loop of
one's own can call.
What does not: the verdict. Whether the result is hardened is said by the same attacks that judge every model, run on both and
compared by a paired test; a defence that only masks gradients is offered under that label and raises no verdict.
To add a method: a module with a function `(model, data, settings) -> Hardened`, a row in `methods.py`, and a test that holds it
against an attack that knows of it.
"""
