"""From the records of a collection to a release that is trained, judged, indexed and ready to answer."""
