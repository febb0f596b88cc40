"""What a step of DreamBooth is made of: examples, adapters, optimizer, state."""
