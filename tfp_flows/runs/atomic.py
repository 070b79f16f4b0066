"""What rooms above take from here: writing files whole or not at all, which is `tfp_flows.checks.atomic`."""

from tfp_flows.checks.atomic import naming_file as naming_file
from tfp_flows.checks.atomic import replacing_folder as replacing_folder
from tfp_flows.checks.atomic import sync as sync
from tfp_flows.checks.atomic import sync_folder as sync_folder
from tfp_flows.checks.atomic import write_atomically as write_atomically
