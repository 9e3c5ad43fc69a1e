"""DeepDTA (doi 10.1093/bioinformatics/bty593): affinity of a drug (SMILES) and a protein (sequence of amino acids).

Three networks, as the device runs them: one for each sequence, whose results the host joins, and the head. Sequences
are numbers of letters, see `headrace.data.deepdta`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

DEPTH, FILTERS = 128, 32
"""Of an embedding; of the first convolution, of which the second has twice and the third three times as many."""


def drug(kernel: int = 6) -> nn.Module:
    """(N, 100) letters of SMILES to (N, 96)."""
    return _branch(62, 100, kernel)


def protein(kernel: int = 8) -> nn.Module:
    """(N, 1000) amino acids to (N, 96)."""
    return _branch(25, 1000, kernel)


def head() -> nn.Module:
    """(N, 192), the drug's numbers first, to the affinity (N, 1)."""
    from torch import nn

    widths = ((192, 1024), (1024, 1024), (1024, 512))
    layers = [layer for before, after in widths for layer in (nn.Linear(before, after), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(512, 1))


def _branch(letters: int, length: int, kernel: int) -> nn.Module:
    from torch import nn

    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(letters + 1, DEPTH)
            self.conv1 = nn.Conv1d(DEPTH, FILTERS, kernel)
            self.conv2 = nn.Conv1d(FILTERS, 2 * FILTERS, kernel)
            self.conv3 = nn.Conv1d(2 * FILTERS, 3 * FILTERS, kernel)
            self.pool = nn.MaxPool1d(length - 3 * (kernel - 1))

        def forward(self, x: Tensor) -> Tensor:
            y = self.embedding(x).transpose(1, 2)
            for conv in (self.conv1, self.conv2, self.conv3):
                y = conv(y).relu()
            result: Tensor = self.pool(y).flatten(1)
            return result

    return Branch()
