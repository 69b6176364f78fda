"""Cases: small plain descriptions of inputs, how they are drawn, and the arrays that they stand for."""
