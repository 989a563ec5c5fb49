"""A stand-in Mac: macOS's paths, commands and launchd over this machine's own root."""
