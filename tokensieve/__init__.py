"""The science and the formats: score, select and train on the tokens that are worth it.

A plain library over torch, transformers, numpy and pyarrow: no prefect, ray or duckdb in it.
"""

__version__ = "0.1.0"
