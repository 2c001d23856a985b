//! The Interceptor of AIM behind a ublk block device.
