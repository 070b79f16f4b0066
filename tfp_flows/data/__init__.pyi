from .batches import evaluation_batches as evaluation_batches
from .batches import training_batches as training_batches
from .errors import DataError as DataError
from .image_set import SPLITS as SPLITS
from .image_set import ImageSet as ImageSet
from .loading import fingerprint as fingerprint
from .loading import load as load
from .sources import clear_cache as clear_cache
