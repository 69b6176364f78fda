"""trueband's attention inside the models of other packages, which the rest of trueband never imports for that."""
