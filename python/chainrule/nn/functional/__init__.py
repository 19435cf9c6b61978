"""Layers and losses as functions, with PyTorch's names; each file is named after what it holds."""

from chainrule.nn.functional.activation import gelu, log_softmax, relu, sigmoid, silu, softmax, tanh
from chainrule.nn.functional.attention import scaled_dot_product_attention
from chainrule.nn.functional.convolution import conv2d
from chainrule.nn.functional.dropout import dropout
from chainrule.nn.functional.embedding import embedding
from chainrule.nn.functional.linear import linear
from chainrule.nn.functional.loss import cross_entropy, mse_loss, nll_loss
from chainrule.nn.functional.normalization import layer_norm
from chainrule.nn.functional.pooling import max_pool2d

__all__ = [
    "conv2d",
    "cross_entropy",
    "dropout",
    "embedding",
    "gelu",
    "layer_norm",
    "linear",
    "log_softmax",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "relu",
    "scaled_dot_product_attention",
    "sigmoid",
    "silu",
    "softmax",
    "tanh",
]
