"""From counts to clean transmission: flat field, repair of pixels, ring removal."""
