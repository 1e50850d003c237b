"""The paper's tables on any prepared data set: every ablation trained, measured, and set beside the paper's figures."""
