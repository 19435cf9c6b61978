"""Modules, parameters, layers, losses and initialisations, with PyTorch's names."""

from chainrule.nn import functional, init
from chainrule.nn.activation import GELU, ReLU, Sigmoid, SiLU, Softmax, Tanh
from chainrule.nn.container import ModuleList, Sequential
from chainrule.nn.convolution import Conv2d
from chainrule.nn.dropout import Dropout
from chainrule.nn.embedding import Embedding
from chainrule.nn.flatten import Flatten
from chainrule.nn.linear import Identity, Linear
from chainrule.nn.loss import CrossEntropyLoss, MSELoss, NLLLoss
from chainrule.nn.module import Module
from chainrule.nn.normalization import LayerNorm
from chainrule.nn.parameter import Parameter
from chainrule.nn.pooling import MaxPool2d

__all__ = [
    "GELU",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "Identity",
    "LayerNorm",
    "Linear",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "ModuleList",
    "NLLLoss",
    "Parameter",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "functional",
    "init",
]
