"""GCN: nodes of a graph, each told by its own features and those of its neighbours.

Paper: Kipf & Welling, "Semi-Supervised Classification with Graph Convolutional Networks" (2017), arXiv:1609.02907.
"""
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from lamina.nn.bag import Bag
from lamina.nn.graph import normalised, propagate
class GCN(nn.Module):
    def __init__(self, *, columns=0, vocab=0, classes=7, width=16, depth=2, drop=0.5, word_drop=0.0, residual=False, norm=False):
        super().__init__()
        self.bag = Bag(vocab, width, word_drop) if vocab else None
        self.bias = nn.Parameter(torch.zeros(width))
        self.layers = nn.ModuleList([nn.Linear(width, width if i < depth-2 else classes) for i in range(depth-1)])
        self.own = nn.ModuleList([nn.Linear(width, width if i < depth-2 else classes) for i in range(depth-1)]) if residual else None
        self.norms = nn.ModuleList([nn.LayerNorm(width) if norm else nn.Identity() for i in range(depth-1)])
        self.drop = nn.Dropout(drop); self.residual=residual
    def forward(self, numbers=None, categories=None, words=None, words_offsets=None, words_weights=None, edges=None):
        x = self.bag(words, words_offsets, words_weights)
        a = normalised(edges, len(x))
        if self.residual != 2: x = propagate(a, x) + (x if self.residual else 0)
        x = x+ self.bias
        for i,l in enumerate(self.layers):
            x = self.drop(self.norms[i](x).relu())
            if self.residual: x = propagate(a, l(x)) + self.own[i](x)
            else: x = propagate(a, l(x))
        return x
