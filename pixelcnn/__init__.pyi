from .autoencoder import PixelCNNAutoencoder as PixelCNNAutoencoder
from .config import PixelCNNConfig as PixelCNNConfig
from .model import PixelCNN as PixelCNN
from .tfp_weights import from_tfp as from_tfp
from .tfp_weights import to_tfp as to_tfp
