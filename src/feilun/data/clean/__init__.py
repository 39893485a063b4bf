"""Mending rows: what `feilun data clean` does, and does again to rows that come later.

A `recipe.Cleaning` says what one call does. A data version keeps the list of those it went through
(its recipe); `mending.Mending` carries them out while a version is built.
"""
