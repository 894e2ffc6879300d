"""Settings of every test."""

import torch

# Many tiny tensors: two threads that wait for each other cost more than they bring, most of all on a busy machine.
torch.set_num_threads(1)
