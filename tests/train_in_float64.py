"""fairseq-train with all numbers in float64, where two orders of one sum differ by far less than a log shows."""

import torch
import torch.nn.functional as F
from fairseq import utils
from fairseq_cli.train import cli_main

norm = torch.norm

# fairseq's three casts to float32 on the way of a loss and of its gradient's norm.
utils.softmax = lambda x, dim, onnx_trace=False: F.softmax(x, dim=dim)
utils.log_softmax = lambda x, dim, onnx_trace=False: F.log_softmax(x, dim=dim)
torch.norm = lambda *arguments, dtype=None, **options: norm(*arguments, **options)

if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    cli_main()
