"""Executes compiled PTX on the CPU, and reports what a GPU would not.

A kernel that Triton compiled for sm_80 or sm_90 is executed from its PTX text, tensor-core fragments, asynchronous
copies and barriers included, with the threads of many blocks as NumPy lanes. Everything it does to memory is checked.

    from trueband.properties.gpu.ptx.compile import Compiler, Request
    from trueband.properties.gpu.ptx.launch import Pointer, launch

Its limits: it was written from NVIDIA's description of PTX and never compared with a GPU; threads of a warp
run in lockstep, so that neither divergence nor weak memory order is seen; TMA, mbarrier and tcgen05 are not emulated;
sums of the tensor cores and `ex2.approx` are those of float32 here; ptxas, which translates PTX into what a GPU
runs, is not covered.
"""
