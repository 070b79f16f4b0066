from . import arguments as arguments
from . import extras as extras
from .errors import UserError as UserError
from .images import check_image_batch as check_image_batch
from .images import check_image_shape as check_image_shape
from .images import check_images as check_images
from .paths import check_path as check_path
