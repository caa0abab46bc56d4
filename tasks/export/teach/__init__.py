"""The teach page: one HTML file that learns classes in a browser, without server or network."""
