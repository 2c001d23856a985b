//! The command line, exactly as typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{DEFAULT_PATH, Span};
use crate::exit::Exit;
use crate::logging::LogFormat;

/// Mirrors block devices by journal files.
#[derive(Debug, Parser)]
#[command(name = "aim", version, after_help = Exit::help(), propagate_version = true)]
#[command(disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How to speak.
#[derive(Clone, Debug, Args)]
pub(crate) struct Output {
    /// Print JSON on stdout, and errors as one JSON object on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Form of the log on stderr [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// Log level or filter; also AIM_LOG [default: info for `run`, else warn]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
}

/// Which configuration.
#[derive(Clone, Debug, Args)]
pub(crate) struct ConfigArgs {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", default_value = DEFAULT_PATH)]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Give a volume or a mirror its identity, once, on each side
    Init(InitArgs),
    /// Run every volume and mirror of the configuration until a signal
    Run(ConfigArgs),
    /// Show how far each volume and mirror is
    Status(StatusArgs),
    /// Tell what is well on this host and on the way to the mirror, and what helps where it is not
    Doctor(DoctorArgs),
    /// Have the running aim execute its program file anew, while the devices are in use
    Upgrade(UpgradeArgs),
    /// Take away a device that no aim serves any more: what waits for it gets I/O errors
    Abandon(AbandonArgs),
    /// Wait until all that was captured so far is applied on the mirror
    Wait(WaitArgs),
    /// Copy to the mirror what differs there, or show the copying that is under way
    Sync(SyncArgs),
    /// Find out whether the mirror holds the same, while both are in use
    Verify(VerifyArgs),
    /// Look at, check, apply and carry journal files, without any daemon
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Check the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// A volume (on the source) or a mirror (on the mirror host); `volume.NAME` or `mirror.NAME`
    /// where both have the name
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// The mirror's disk holds the very same bytes already: nothing is copied at first
    #[arg(long)]
    pub(crate) assume_identical: bool,
    /// The mirror's disk bears data which may be lost; it must be named, to be sure
    #[arg(long, value_name = "DEVICE")]
    pub(crate) overwrite: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Only this volume or mirror
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Show it again every second, until interrupted
    #[arg(long, short)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Only this volume or mirror, and the host
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UpgradeArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Give up waiting for the new program after this long, such as 30s or 5m
    #[arg(long, value_name = "TIME", default_value = "5m")]
    pub(crate) timeout: Span,
}

#[derive(Debug, Args)]
pub(crate) struct AbandonArgs {
    /// The volume whose device waits, whether it is in the configuration or not
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// The volume (on the source) or the mirror (on the mirror host: all that has arrived)
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Only this target of the volume; else all of them
    #[arg(long, value_name = "NAME")]
    pub(crate) target: Option<String>,
    /// Give up after this long, such as 30s or 5m [default: never]
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<Span>,
}

#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// The volume, on the source
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Only this target of the volume; else all of them
    #[arg(long, value_name = "NAME")]
    pub(crate) target: Option<String>,
    /// Compare and copy all of the disk, not only what `aim verify` has found
    #[arg(long)]
    pub(crate) all: bool,
    /// Send all of the disk (a baseline), without asking what mirrors hold: for those that stand behind
    /// another mirror
    #[arg(long, conflicts_with_all = ["all", "target"])]
    pub(crate) baseline: bool,
    /// Only ask for it
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Give up waiting after this long, such as 30s or 5m; the copying goes on [default: never]
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<Span>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The volume, on the source
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Only this target of the volume; else all of them
    #[arg(long, value_name = "NAME")]
    pub(crate) target: Option<String>,
    /// Copy to the mirror what differs, and look again
    #[arg(long, conflicts_with = "no_wait")]
    pub(crate) repair: bool,
    /// Only ask for it; `aim status` tells what it finds
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Give up waiting after this long, such as 30s or 5m; the pass goes on [default: never]
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<Span>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Name everything that is wrong with it, as `aim run` would
    Check(ConfigArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// List the journal files of a directory, in the order of their series
    Ls(JournalLsArgs),
    /// Print the header of a file, and its records
    Inspect(JournalInspectArgs),
    /// Check every byte of the files, and that they follow each other
    Verify(JournalVerifyArgs),
    /// Apply files to a device, in the order of their series
    Apply(JournalApplyArgs),
    /// Copy the files of a volume or mirror that are still there into a directory that travels
    Export(JournalExportArgs),
    /// Bring files from a directory to a mirror, on the mirror host; `aim run` may run meanwhile
    Import(JournalImportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct JournalExportArgs {
    /// The volume (on the source) or the mirror (on the mirror host: what is not applied yet)
    pub(crate) name: String,
    /// An existing directory, such as one on a USB disk; said again, it goes on where it was
    pub(crate) directory: PathBuf,
    /// Only files from this number on
    #[arg(long, value_name = "NUMBER")]
    pub(crate) from: Option<u64>,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(crate) struct JournalImportArgs {
    /// The mirror
    pub(crate) name: String,
    /// A directory that `aim journal export` or anybody else has filled
    pub(crate) directory: PathBuf,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(crate) struct JournalLsArgs {
    /// A directory with journal files, or a volume's or mirror's directory
    pub(crate) directory: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct JournalInspectArgs {
    /// A journal file, sealed or open
    pub(crate) file: PathBuf,
    /// Print the header only
    #[arg(long)]
    pub(crate) header: bool,
}

#[derive(Debug, Args)]
pub(crate) struct JournalVerifyArgs {
    /// Journal files, or directories with journal files
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct JournalApplyArgs {
    /// Journal files, or directories with journal files
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// The device or image file to apply them to
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: PathBuf,
    /// The device already holds the series up to this file number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) after: Option<u64>,
    /// Check everything, write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}
