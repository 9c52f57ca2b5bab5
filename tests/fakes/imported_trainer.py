"""Imports what the trainer's commands take seconds to import; nothing may have started a thread that works yet."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as model/__main__.py, before torch is loaded

import sklearn.svm
import torch._dynamo  # the first optimiser of a process would

import model.callbacks.loading
import model.cli
import model.evaluation.baseline
import model.run

__all__ = ["model", "sklearn", "torch"]
