from . import run_detector as run_detector
from .closing import close as close
from .overview import overview as overview
from .run_report import Report as Report
from .run_report import write as write
