"""Values of batches as they are stored: columns of many kinds, the rows of an item, formats of files."""
