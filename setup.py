"""The native kernels; everything else of the build is in pyproject.toml."""

from setuptools import Extension, setup

SOURCES = ("stream", "planning", "coders")

# A shared library that ctypes loads, so it is no module to import; left out where there is no C++ compiler.
KERNELS = Extension(
    "headrace.native._kernels",
    [f"sw/headrace/native/{name}.cpp" for name in SOURCES],
    depends=["sw/headrace/native/kernels.h"],
    language="c++",
    extra_compile_args=["-std=c++17", "-O3"],
    optional=True,
)

setup(ext_modules=[KERNELS])
