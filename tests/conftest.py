"""Settings that all tests share."""

import torch

# Workers of pytest-xdist share the cores; tiny models gain nothing from a second thread anyway.
torch.set_num_threads(1)
