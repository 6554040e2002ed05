"""The record of an ending, its line in the log, and the callbacks that are told of it."""
