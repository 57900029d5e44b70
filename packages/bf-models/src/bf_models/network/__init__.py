"""How a network is put together: the catalogue of models, their parts, and the keras.Model that is built."""
