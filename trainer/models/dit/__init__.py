"""What families of diffusion transformers (DiT) share: a transformer, a frozen language model, an autoencoder."""
