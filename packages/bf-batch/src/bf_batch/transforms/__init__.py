"""Statistics of data of any size, and the transforms that they give: normalizing and quantizing."""
