"""Files of pictures: read and checked at once, decoded when pixels are needed."""
