"""What is set before TensorFlow is imported: as our commands have it, for every peer and the floor alike."""

import os
import platform


def prepare():
    """Quiet, and with oneDNN, which TensorFlow leaves off on x86 processors without AVX-512 VNNI."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if platform.machine() in ("x86_64", "AMD64"):
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
