from . import heat as heat
from . import palette as palette
from . import pictures as pictures
from .page import Page as Page
from .page import Row as Row
from .page import Section as Section
