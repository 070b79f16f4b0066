from .config import VAEConfig as VAEConfig
from .config import VAEProtocol as VAEProtocol
from .importance import ImportanceEstimate as ImportanceEstimate
from .importance import importance_weighted_log_prob as importance_weighted_log_prob
from .model import VAE as VAE
from .model import Elbo as Elbo
