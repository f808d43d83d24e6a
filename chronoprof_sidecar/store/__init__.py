"""Where batches are kept: one contract, and the engines that fulfil it."""
