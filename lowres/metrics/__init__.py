"""Metrics, one file each: an `evaluate` module that also gives its sufficient statistics.

`evaluate.load(".../lowres/metrics/<name>.py")` works offline and outside the package. Beside it
every file has `statistics(gold, predicted, labels) -> [examples, S]`, additive over examples, and
`from_statistics(sums [..., S], labels) -> [...]`: a bootstrap is then one matrix product.
"""
