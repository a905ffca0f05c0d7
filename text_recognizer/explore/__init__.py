"""Explorables: widgets in which one sees happen what a notebook explains."""
