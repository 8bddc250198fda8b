"""Probes of language models: injection, jailbreaks, leakage, encodings, several turns; their detectors are rules, no model.

What belongs here: families of attempts as data (`probes/*.toml`), the encodings and detectors they use, endpoints
(OpenAI-compatible over HTTP, a local model), and `probe.probe`, which leads attempts and returns rates with intervals.
What does not: attacks on classifiers of text (`robustness`), guards in front of a model (the gateway), verdicts.
To add a family: a file in `probes/`. A canary is always said in two parts that the prompt does not put together: a model that
repeats its prompt is not counted as one that obeyed it. Only `local_model` needs torch.
"""
