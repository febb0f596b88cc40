"""Search providers behind one protocol, with failover."""
