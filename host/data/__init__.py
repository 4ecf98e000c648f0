"""What there is to learn: images and event streams, and the files they come in."""
