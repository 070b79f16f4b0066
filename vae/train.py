r"""Trains a VAE: `tfp_flows.train` with --family=vae.

python -m vae.train --flagfile=flagfiles/vae_fashion_mnist.flags --data_dir=DIR

The same command again resumes a run that was interrupted.
"""

from tfp_flows import train

if __name__ == "__main__":
    train.run(family="vae")
