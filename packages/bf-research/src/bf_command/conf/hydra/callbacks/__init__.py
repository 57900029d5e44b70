"""The choices of ``hydra/callbacks`` that BatchFlow adds: what it does before and after a sweep."""
