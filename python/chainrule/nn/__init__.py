"""Modules, parameters, layers, losses and initialisations, with PyTorch's names."""

from chainrule.nn import functional, init
from chainrule.nn.activation import ReLU, Sigmoid, Softmax, Tanh
from chainrule.nn.container import ModuleList, Sequential
from chainrule.nn.convolution import Conv2d, MaxPool2d
from chainrule.nn.flatten import Flatten
from chainrule.nn.linear import Identity, Linear
from chainrule.nn.loss import CrossEntropyLoss, MSELoss, NLLLoss
from chainrule.nn.module import Module
from chainrule.nn.parameter import Parameter

__all__ = [
    "Conv2d",
    "CrossEntropyLoss",
    "Flatten",
    "Identity",
    "Linear",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "ModuleList",
    "NLLLoss",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "functional",
    "init",
]
