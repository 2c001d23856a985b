//! The jobs.

use std::path::Path;
use std::process::{Command, Stdio};

use aim_bench::{Job, Sample};
use serde_json::Value;

use crate::Result;

/// Runs `job` on `device`. Round and subject are left for the caller to fill in.
pub(crate) fn run(device: &Path, job: &Job) -> Result<Sample> {
    let output = Command::new("fio")
        .args([
            "--name=job",
            "--direct=1",
            "--group_reporting",
            "--output-format=json",
        ])
        .arg(format!("--filename={}", device.display()))
        .args(&job.words)
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    // it may complain before the report begins
    let report = text
        .find('{')
        .map(|start| &text[start..])
        .unwrap_or_default();
    let report: Value = serde_json::from_str(report).map_err(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        format!("fio: {}: {error}\n{text}{said}", output.status)
    })?;
    let done = &report["jobs"][0];
    let field = |way: &str, name: &str| done[way][name].as_u64().unwrap_or(0);
    let sample = Sample {
        round: 0,
        subject: String::new(),
        job: job.name.clone(),
        writes: field("write", "total_ios"),
        ios: field("read", "total_ios") + field("write", "total_ios"),
        milliseconds: field("read", "runtime").max(field("write", "runtime")),
    };
    let failed = done["error"].as_i64() != Some(0) || !output.status.success();
    if failed || sample.ios == 0 || sample.milliseconds == 0 {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("fio: {}: {text}{said}", output.status).into());
    }
    Ok(sample)
}
