"""Imports and exports of whole collections, as jobs."""
