"""Readings: other kinds of numbers that go through a cell's unchanged equations."""
