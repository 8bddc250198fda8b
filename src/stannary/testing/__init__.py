"""For tests, ours and users': forges of hostile content, simulators, conformance suites.

What belongs here: code that makes inputs and stands in for services; it may import any room.
What does not: anything production code needs. A forge never makes a payload that does harm: at
most it would run `echo`.
"""
