"""What commands do, who may have them done, and what people are told."""
