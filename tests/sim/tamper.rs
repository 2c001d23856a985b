//! What movers and foes do to files in `incoming/`.

use std::io::{self, IoSlice};
use std::ops::Range;

use aim_core::fs::Directory;
use aim_core::journal::FileName;
use aim_core::signature::{Answer, Question};
use aim_core::units::{Epoch, FileNumber};
use aim_tests::Series;

use crate::world::World;

/// Does one such thing, if there is a file to do it to.
pub(crate) fn act(world: &mut World) {
    let incoming = world.mirror.incoming();
    let Ok(names) = incoming.list() else { return };
    let kept = kept_files(world);
    let mut arrived: Vec<Arrived> = names
        .iter()
        .filter_map(|text| Arrived::of(text))
        .filter(|arrived| arrived.name.number >= kept.end)
        .collect();
    arrived.sort_unstable();
    let kind = world.rng.below(11);
    let done = match kind {
        8 => spoil(world, &*incoming),
        9 => foreign(world, &*incoming),
        10 => lie(world),
        0..=3 => {
            if arrived.is_empty() {
                return;
            }
            let chosen = arrived[world.rng.below(arrived.len() as u64) as usize];
            alter(world, &*incoming, chosen, kind)
        }
        4 => again(world, &*incoming),
        5 => garbage(world, &*incoming),
        _ => early(world, &*incoming),
    };
    if let Some(what) = done.unwrap_or_else(|error| Some(format!("in vain, {error}"))) {
        world.log.note(&format!("tampered: {what}"));
    }
}

/// A file that arrived, in whichever form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrived {
    name: FileName,
    is_packed: bool,
}

impl Arrived {
    fn of(text: &str) -> Option<Self> {
        let sealed = FileName::parse_sealed(text).map(|name| (name, false));
        let known = sealed.or_else(|_| FileName::parse_packed(text).map(|name| (name, true)));
        let (name, is_packed) = known.ok()?;
        Some(Self { name, is_packed })
    }

    fn text(self) -> String {
        match self.is_packed {
            false => self.name.sealed(),
            true => self.name.packed(),
        }
    }
}

/// Files that were received and not applied. They are the mirror's own affair: the source may have
/// deleted them, so whoever alters one has taken the only copy.
fn kept_files(world: &World) -> Range<FileNumber> {
    let cursor = world.mirror.cursor();
    cursor.map_or(FileNumber(1)..FileNumber(1), |cursor| {
        cursor.applied.file.next()..cursor.received.file.next()
    })
}

/// Cuts, flips, renames or removes a file that arrived.
fn alter(
    world: &mut World,
    incoming: &dyn Directory,
    arrived: Arrived,
    kind: u64,
) -> io::Result<Option<String>> {
    let (name, text) = (arrived.name, arrived.text());
    let mut bytes = incoming.read_small(&text, 1 << 30)?;
    let rng = &mut world.rng;
    if bytes.is_empty() {
        return Ok(None);
    }
    Ok(Some(match kind {
        0 => {
            let len = rng.below(bytes.len() as u64);
            bytes.truncate(len as usize);
            replace(incoming, &text, &bytes)?;
            format!("file {} is cut to {len} bytes", name.number)
        }
        1 => {
            let at = rng.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << rng.below(8);
            replace(incoming, &text, &bytes)?;
            format!("file {} is flipped at {at}", name.number)
        }
        2 => {
            let number = FileNumber(1 + rng.below(name.number.get() + 3));
            let other = FileName { number, ..name };
            if kept_files(world).contains(&number) {
                return Ok(None);
            }
            let other = Arrived {
                name: other,
                ..arrived
            };
            incoming.rename(&text, incoming, &other.text())?;
            format!("file {} is now called {number}", name.number)
        }
        _ => {
            incoming.remove(&text)?;
            format!("file {} is gone", name.number)
        }
    }))
}

/// A file that was received is gone or damaged while the source still has it, and the mirror tries
/// to apply it. If that does not show it is as before: the source may delete its own.
fn spoil(world: &mut World, incoming: &dyn Directory) -> io::Result<Option<String>> {
    let outgoing = world.source.outgoing().list()?;
    let kept = kept_files(world);
    let both = (incoming.list()?.into_iter())
        .filter(|name| outgoing.contains(name))
        .filter_map(|name| FileName::parse_sealed(&name).ok())
        .filter(|name| kept.contains(&name.number));
    let mut both: Vec<FileName> = both.collect();
    both.sort_unstable();
    let Some(name) = both.first() else {
        return Ok(None);
    };
    let text = name.sealed();
    let is_moved = world.rng.chance(2);
    // neither takes room, so that both can be undone
    let elsewhere = world.mirror.elsewhere();
    match is_moved {
        true => incoming.rename(&text, &*elsewhere, &text)?,
        false => flip(incoming, &text)?,
    }
    world.log.note(&format!("file {} is spoiled", name.number));
    world.apply();
    if !world.mirror.power.is_on() {
        world.mirror_lost();
    }
    let is_asked_again = !kept_files(world).contains(&name.number);
    match (is_asked_again, is_moved) {
        (true, _) => {}
        (false, true) => elsewhere.rename(&text, incoming, &text)?,
        (false, false) => flip(incoming, &text)?,
    }
    world.mirror.files.settle();
    let asked = if is_asked_again { "is" } else { "is not" };
    Ok(Some(format!(
        "file {} {asked} asked for again",
        name.number
    )))
}

/// Flips a bit in the middle of a file.
fn flip(folder: &dyn Directory, name: &str) -> io::Result<()> {
    let file = folder.open(name, true)?;
    let middle = file.len()? / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle)?;
    byte[0] ^= 1;
    file.write_all_at(&[IoSlice::new(&byte)], middle)
}

/// A file that was sealed long ago comes again.
fn again(world: &mut World, incoming: &dyn Directory) -> io::Result<Option<String>> {
    let count = world.archive.len() as u64;
    if count == 0 {
        return Ok(None);
    }
    let chosen = world.rng.below(count) as usize;
    let Some(file) = world.archive.nth(chosen).cloned() else {
        return Ok(None);
    };
    if kept_files(world).contains(&file.name.number) {
        return Ok(None);
    }
    replace(incoming, &file.name.sealed(), &file.bytes)?;
    Ok(Some(format!("file {} comes again", file.name.number)))
}

/// A file that waits on the source comes by another way, before others.
fn early(world: &mut World, incoming: &dyn Directory) -> io::Result<Option<String>> {
    let outgoing = world.source.outgoing();
    let mut names = outgoing.list()?;
    if names.is_empty() {
        return Ok(None);
    }
    names.sort_unstable();
    let name = &names[world.rng.below(names.len() as u64) as usize];
    let is_kept =
        FileName::parse_sealed(name).is_ok_and(|name| kept_files(world).contains(&name.number));
    if is_kept {
        return Ok(None);
    }
    let bytes = outgoing.read_small(name, 1 << 30)?;
    replace(incoming, name, &bytes)?;
    Ok(Some(format!("{name} comes by another way")))
}

/// Something that is no journal file, or of another volume.
fn garbage(world: &mut World, incoming: &dyn Directory) -> io::Result<Option<String>> {
    let kept = kept_files(world);
    let rng = &mut world.rng;
    let mut bytes = vec![0; rng.below(9000) as usize];
    rng.fill(&mut bytes);
    let number = FileNumber(1 + rng.below(40));
    if kept.contains(&number) {
        return Ok(None);
    }
    let mut name = FileName {
        volume: world.plan.volume.id,
        epoch: world.plan.volume.epoch,
        number,
    };
    let text = match rng.below(3) {
        0 => "notes.txt".to_owned(),
        1 => name.sealed(),
        _ => {
            name.volume.0[0] ^= 1;
            name.sealed()
        }
    };
    replace(incoming, &text, &bytes)?;
    Ok(Some(format!("{text} is there with {} bytes", bytes.len())))
}

/// A good file of another volume, or of this one for other disks or from another epoch. Sometimes
/// it has the name of the file that comes next.
fn foreign(world: &mut World, incoming: &dyn Directory) -> io::Result<Option<String>> {
    let kept = kept_files(world);
    let ours = &world.plan.volume;
    let mut identity = ours.clone();
    let rng = &mut world.rng;
    match rng.below(3) {
        0 => identity.id.0[3] ^= 1,
        1 => identity.devices[0].id.0[3] ^= 1,
        _ => identity.epoch = Epoch(2),
    }
    let mut series = Series::new(identity, rng.next_u64());
    if let Some(received) = world.mirror.cursor().map(|cursor| cursor.received)
        && rng.chance(2)
    {
        series.set_position(received);
    }
    let file = series.next_file(4);
    let bytes = series.folder().read_small(&file.name.sealed(), 1 << 30)?;
    let name = match rng.chance(2) {
        true => file.name,
        false => FileName {
            volume: ours.id,
            epoch: ours.epoch,
            number: file.name.number,
        },
    };
    if name.volume == ours.id && kept.contains(&name.number) {
        return Ok(None);
    }
    replace(incoming, &name.sealed(), &bytes)?;
    Ok(Some(format!("a foreign file comes as {name}")))
}

/// What source and mirror ask each other is altered on the way.
fn lie(world: &mut World) -> io::Result<Option<String>> {
    let folder = world.mirror.folder();
    let name = match world.rng.chance(2) {
        true => Question::NAME,
        false => Answer::NAME,
    };
    match flip(&*folder, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        flipped => flipped.map(|()| Some(format!("{name} is altered"))),
    }
}

/// Stores a file as a mover does that syncs nothing.
fn replace(incoming: &dyn Directory, name: &str, bytes: &[u8]) -> io::Result<()> {
    match incoming.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    incoming
        .create(name)?
        .write_all_at(&[IoSlice::new(bytes)], 0)
}
