"""How results look on a picture. Pictures are BGR uint8 (height, width, 3); nothing here leaves the device."""
