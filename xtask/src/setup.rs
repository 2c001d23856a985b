//! What has to be on the machine before anything else.

use aim_vm::{Kernel, KernelImage, cache_folder, install_packages};

use crate::outcome::Result;
use crate::progress::{detail, step};

/// Installs what is missing, or fails with the command that would.
pub(crate) fn packages() -> Result<()> {
    Ok(install_packages(step)?)
}

/// Fetches `kernel` if it is not there yet.
pub(crate) fn kernel(kernel: Kernel) -> Result<KernelImage> {
    Ok(kernel.image(&cache_folder(), detail)?)
}
