"""The one redaction of secrets, for everything that is recorded or shown: names, texts, values."""
