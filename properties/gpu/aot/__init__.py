"""Compiles Triton kernels for GPUs that are not here, and judges what the compiled code tells.

What it cannot tell: that the code is right, or how fast it is; what ptxas makes of the instructions.
"""
