"""Layer taps: recorded from the reference, layer by layer, and judged layer by layer.

Read and judged with NumPy and safetensors alone.
"""
