"""A backend of Triton for tests alone: on a processor, for kernels that are interpreted.

vLLM's newer runner is written in Triton. With `TRITON_INTERPRET=1` its kernels run as numpy, but
Triton still asks for a driver. This one says that there is a processor; it compiles nothing.
"""
