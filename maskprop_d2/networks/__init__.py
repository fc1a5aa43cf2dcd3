"""Plain torch modules: propagation, refinement, STSN, embedding, crop classifier."""
