//! Both coordinators of AIM: ship journal files over SSH, detect and apply them.
