r"""Trains a PixelCNN: `tfp_flows.train` with --family=pixelcnn.

python -m pixelcnn.train --flagfile=flagfiles/pixelcnn_fashion_mnist.flags --data_dir=DIR

The same command again resumes a run that was interrupted.
"""

from tfp_flows import train

if __name__ == "__main__":
    train.run(family="pixelcnn")
