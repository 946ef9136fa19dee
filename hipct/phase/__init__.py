"""Phase retrieval and the sharpening that follows it."""
