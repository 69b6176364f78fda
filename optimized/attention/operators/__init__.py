"""The attention as operators of torch: registered, differentiable, exportable."""
