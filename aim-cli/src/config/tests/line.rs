//! The line to a target.

use std::num::NonZeroU64;

use aim_core::packed::Level;
use aim_remote::ship::LineOptions;
use aim_remote::transport::Bandwidth;

use super::GOOD;
use crate::config::load;

#[test]
fn a_line_is_as_it_is_given() {
    let line = |more: &str| {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("aim.toml");
        std::fs::write(&path, format!("{GOOD}{more}")).unwrap();
        load(&path).unwrap().volumes["data"].targets[0].line.clone()
    };
    let default = line("");
    assert_eq!(default.options, LineOptions::default());
    assert_eq!(line("compression = \"off\"\n"), default);
    let given = line("channels = 3\ncompression = 5\nbandwidth = \"20MB\"\n");
    assert_eq!((given.channels.get(), given.options.files.get()), (3, 6));
    let given = given.options;
    assert_eq!(given.compression, Level::new(5));
    let rate = NonZeroU64::new(20_000_000).unwrap();
    assert_eq!(given.bandwidth, Bandwidth::always(rate));
    let by_hours = line(
        "bandwidth = [{ from = \"08:00\", to = \"18:00\", rate = \"2MB\" }, \
         { from = \"02:00\", to = \"03:00\", rate = \"none\" }, { rate = \"20MB\" }]\n",
    );
    let at = |text: &str| by_hours.options.bandwidth.at(text.parse().unwrap());
    assert_eq!(at("12:00"), NonZeroU64::new(2_000_000));
    assert_eq!((at("02:30"), at("18:00")), (None, Some(rate)));
}
