"""The demonstrations: each file is named like its task, and nothing lists it.

``write(folder, lang)`` writes the files of real rows and returns a `feilun.demo.sample.Sample`;
`feilun.demo.story` does the rest. Another distribution adds one by the entry point
``feilun.demos``.
"""
