"""How trained versions become what is served. Each file is an exporter: the formats it reads
(``SOURCES``), the one it writes (``FORMAT``), its variants from the cheapest to the float one
(``VARIANTS``), the rows they are measured on (``ROWS``), and two functions, ``unable`` and
``export``; see `feilun.compression.base`."""
