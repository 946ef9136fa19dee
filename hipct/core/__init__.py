"""What every floor stands on: errors, array namespace, threads, files, progress, physics."""
