"""Corpora whose noise is known token by token, to measure methods with and to show what they do."""
