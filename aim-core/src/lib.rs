//! The journal-file format, the interception trait, capture and replay of AIM.
