"""Poisoning: what training data can do to a model.

    from stannary.checks.poisoning import attacks, measuring

    poisoned = attacks.BadNets(target=0, share=0.05).poison(x, y)         # the data, and which rows were changed
    measuring.measure(train, attacks.BadNets(target=0, share=0.05), (x, y), (test_x, test_y)).success

What belongs here: attacks on a training function, as objects with hyper-parameters alone.
What does not: attacks on inputs (`checks/robustness/`), loading models and data (`checks/target/`), evidence.
To add an attack: a class in `attacks/` that follows `interface.Attack`.
Importing this package imports no array library.
"""
