"""Packaging. The wheel holds `tfp_flows` alone; the other packages run from a checkout."""

from setuptools import find_packages, setup

setup(
    name="tfp-flows",
    version="0.1.0",
    description="Normalizing flows for images as TensorFlow Probability bijectors, and what deep "
    "generative models know about what they don't know",
    long_description=open("README.md", encoding="utf-8").read(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["tfp_flows", "tfp_flows.*"]),
    package_data={"": ["*.pyi"]},
    install_requires=[
        "absl-py>=2.1",
        "imagecodecs>=2024.6",
        "importlib-resources>=6",  # imported by tensorflow-datasets, but not required by it
        "jinja2>=3.1",
        "lazy-loader>=0.4",  # what a room offers is imported when it is first used
        "matplotlib>=3.9",
        "numpy>=1.26",
        "pillow>=10",
        "pyarrow>=15",
        "safetensors>=0.4",
        "scikit-learn>=1.5",
        "scipy>=1.11",
        "setuptools; python_version >= '3.12'",  # TFP 0.25 imports distutils
        "tensorboard>=2.18",  # tf.summary needs it; TensorFlow 2.21 no longer requires it
        "tensorflow>=2.18",
        "tensorflow-datasets>=4.9.7",
        "tensorflow-probability>=0.25,<0.26",  # one module uses its bijector cache
        "tf-keras>=2.18",
        "tqdm>=4.66",
    ],
    extras_require={
        "test": ["jax>=0.8", "pytest>=8", "pytest-xdist>=3.7", "ruff>=0.6", "selenium>=4.20"],
        "beam": ["apache-beam>=2.60", "google-crc32c>=1.5"],
        "bench": ["jax>=0.8", "normflows>=1.7.3", "torch>=2.4"],
    },
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
