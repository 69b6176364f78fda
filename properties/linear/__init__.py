"""The witness for large inputs: what it costs is linear in the tokens, and nothing of it is as large as n x n.

- `patches`, `rows`, `gradients`: the reference at some rows, from the keys that they see, with the bounds of those
  rows; and the gradients of all keys from a gradient of the output that is 0 elsewhere.
- `sums`, `codes`, `counts`, `uniform_gradients`: with queries or keys 0 all weights of a row are equal, and output and
  gradients are sums over the band, of every row, head and key, by prefix sums.
"""
