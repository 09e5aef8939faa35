"""Recipes that come with the engine."""
