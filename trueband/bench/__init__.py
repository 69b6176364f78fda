"""`trueband bench`: time and memory of the attention and the models, beside other implementations of the same.

Every contender runs in a process of its own; those of one shape are timed in turns, so that they share the weather.
"""
