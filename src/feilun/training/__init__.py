"""Learning: methods, the plan of a run, and what trains networks."""

import logging

# transformers' Trainer and peft import bitsandbytes where it is installed, which then tells every
# reader of standard error of a faster kernel that it did not find.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
