"""Search: configurations proposed by Optuna from the results so far; nothing of its algorithms is here."""
