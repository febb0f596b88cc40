"""What people may ask: arguments, how they are written, and forms to fill in."""
