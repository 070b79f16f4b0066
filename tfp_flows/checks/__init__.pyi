from . import extras as extras
from .errors import UserError as UserError
