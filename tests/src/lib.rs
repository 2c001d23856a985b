//! Test doubles, integration tests and guest tests of AIM.
