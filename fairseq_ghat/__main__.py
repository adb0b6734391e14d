"""`python -m fairseq_ghat` prints the folder of this package, for fairseq's --user-dir."""

import os

print(os.path.dirname(os.path.abspath(__file__)))
