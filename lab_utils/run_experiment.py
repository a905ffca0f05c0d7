"""Trains any network on any data from the terminal: python -m lab_utils.run_experiment --help."""

from runpy import run_module

if __name__ == "__main__":
    run_module("text_recognizer.training.run_experiment", run_name="__main__")
