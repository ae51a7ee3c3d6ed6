"""Error correction: two parties who hold almost the same bits make them the same."""
