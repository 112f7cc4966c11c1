"""A method, a data set, a partition, a sampler and a backbone that are not pfltune's own."""
