"""What a sweep came to, on its own run in MLflow: tables, pictures, addresses."""
