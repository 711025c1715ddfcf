"""The demo world: a picture-book data set drawn from code, so that nothing need be downloaded."""
