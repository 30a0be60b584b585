"""The pictures of the README, made from a real incident by ``make pictures``."""
