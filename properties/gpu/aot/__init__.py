"""Compiles Triton kernels for GPUs that are not installed, and judges the compiled code.

It does not show that the code is right, how fast it is, or what ptxas makes of the instructions.
"""
