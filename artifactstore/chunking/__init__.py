"""Cutting files into chunks by content, so that an edit moves few boundaries."""

from artifactstore.chunking.chunker import Chunker, Profile, profile_of

__all__ = ["Chunker", "Profile", "profile_of"]
