"""Training by a solver definition: the loop, the rate policies and the six update rules."""

# Each import registers its rule.
from caffe_port.solver import adadelta, adagrad, adam, nesterov, rmsprop, sgd
from caffe_port.solver.base import Solver
from caffe_port.solver.rule import RULES, Rule

__all__ = ["RULES", "Rule", "Solver", "adadelta", "adagrad", "adam", "nesterov", "rmsprop", "sgd"]
