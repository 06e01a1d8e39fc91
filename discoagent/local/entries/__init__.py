"""This node's own entries: who may make them, what changes and what ends them."""
