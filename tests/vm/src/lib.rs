//! The virtual machine in which the tests and the demo of AIM run.
