"""The sections of the page, one file each: ``section(document)`` is its markup, or None where there is nothing to say."""
