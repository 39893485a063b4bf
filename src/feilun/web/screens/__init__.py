"""The screens: one file each, with its pages in ``PAGES``. A new screen is a new file."""
