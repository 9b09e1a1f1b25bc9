//! Values that are made of files, and made again when the content of the files changes.
//!
//! The files are read again and again: that also sees a change that notifications of the file system
//! miss, such as the symbolic links by which Kubernetes replaces a mounted secret. A content that
//! cannot be used is refused once, with a line in the log; the previous value stays in use.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{sleep, timeout},
};
use zeroize::Zeroizing;

use crate::telemetry::{self, Event, FileKind};

/// Largest file that is read, in bytes. It is more than the certificates of all authorities of a
/// system take.
const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// How long reading may take before it counts as a failure: a network file system can hang for ever.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// A file, and the setting that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The setting's variable.
    pub variable: &'static str,
    /// Where the file is.
    pub path: PathBuf,
}

/// The content of a file. It is overwritten when it is dropped, since it can be a secret.
pub type Content = Zeroizing<Vec<u8>>;

/// What is wrong with a file. It repeats nothing of the content, and not the path, in whose place a
/// secret may stand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {problem}")]
pub struct FileProblem {
    /// The setting that names the file.
    pub variable: &'static str,
    /// What is wrong.
    pub problem: String,
}

/// A value made of files. Clones have the same value.
#[derive(Debug)]
pub struct Reloaded<T> {
    current: watch::Receiver<Arc<T>>,
}

/// Makes a value of the contents of its files, which are in the order of the files.
pub type Make<T> = dyn Fn(&[Content]) -> Result<T, FileProblem> + Send + Sync;

/// What was found when the files were last read, without the content itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    /// None if they could not be read.
    digest: Option<[u8; 32]>,
    /// None if they are in use.
    problem: Option<FileProblem>,
}

// === impl File ===

impl File {
    /// The file that a setting names, if it is set.
    #[must_use]
    pub fn of(variable: &'static str, path: Option<&PathBuf>) -> Option<Self> {
        let path = path?.clone();
        Some(Self { variable, path })
    }
}

// === impl FileProblem ===

impl FileProblem {
    /// Something is wrong with the file of this setting.
    pub fn new(variable: &'static str, problem: impl Into<String>) -> Self {
        Self {
            variable,
            problem: problem.into(),
        }
    }
}

// === impl Seen ===

impl Seen {
    fn unreadable(problem: FileProblem) -> Self {
        Self {
            digest: None,
            problem: Some(problem),
        }
    }
}

// === impl Reloaded ===

impl<T> Clone for Reloaded<T> {
    fn clone(&self) -> Self {
        Self {
            current: self.current.clone(),
        }
    }
}

impl<T: Send + Sync + 'static> Reloaded<T> {
    /// Makes the value, and makes it again when the files have changed, for as long as a clone of
    /// this exists. They are read once in `every`.
    ///
    /// # Errors
    /// If a file cannot be read or used.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open(
        kind: FileKind,
        files: Vec<File>,
        every: Duration,
        make: impl Fn(&[Content]) -> Result<T, FileProblem> + Send + Sync + 'static,
    ) -> Result<Self, FileProblem> {
        let contents = read(&files)?;
        let seen = Seen {
            digest: Some(digest(&contents)),
            problem: None,
        };
        let (sender, current) = watch::channel(Arc::new(make(&contents)?));
        telemetry::record(Event::Loaded {
            kind,
            is_used: true,
        });
        tokio::spawn(async move {
            let (all, make): (Arc<[File]>, Arc<Make<T>>) = (files.into(), Arc::new(make));
            let mut seen = seen;
            loop {
                tokio::select! {
                    () = sender.closed() => return,
                    () = sleep(every) => {}
                }
                let (files, make, before) = (all.clone(), make.clone(), seen.clone());
                let mut looking = spawn_blocking(move || look(&files, &before, &*make));
                let Ok(looked) = timeout(READ_TIMEOUT, &mut looking).await else {
                    let slow = Seen::unreadable(too_slow(&all));
                    if slow != seen {
                        report(kind, slow.problem.as_ref());
                    }
                    seen = slow;
                    // Not asked again before this has ended: each would keep a thread.
                    drop(looking.await);
                    continue;
                };
                let Ok(Some((now, made))) = looked else {
                    continue;
                };
                seen = now;
                report(kind, made.as_ref().err());
                if let Ok(value) = made {
                    sender.send_replace(Arc::new(value));
                }
            }
        });
        Ok(Self { current })
    }
}

impl<T> Reloaded<T> {
    /// A value that does not change.
    #[must_use]
    pub fn fixed(value: T) -> Self {
        let (_, current) = watch::channel(Arc::new(value));
        Self { current }
    }

    /// The value as it changes. While this exists, so does the value, and its files are read.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Arc<T>> {
        self.current.clone()
    }

    /// The value now.
    #[must_use]
    pub fn current(&self) -> Arc<T> {
        self.current.borrow().clone()
    }
}

/// Makes a value of files once.
///
/// # Errors
/// If a file cannot be read or used.
pub fn once<T>(
    files: &[File],
    make: impl Fn(&[Content]) -> Result<T, FileProblem>,
) -> Result<T, FileProblem> {
    make(&read(files)?)
}

/// The value of files of which something else is known than before: another content, or another problem.
/// What was refused is tried again, since it can depend on the time, as a certificate does.
fn look<T>(
    files: &[File],
    before: &Seen,
    make: &Make<T>,
) -> Option<(Seen, Result<T, FileProblem>)> {
    let contents = match read(files) {
        Ok(contents) => contents,
        Err(problem) => {
            let seen = Seen::unreadable(problem.clone());
            return (seen != *before).then_some((seen, Err(problem)));
        }
    };
    let digest = Some(digest(&contents));
    if before.problem.is_none() && before.digest == digest {
        return None;
    }
    let made = make(&contents);
    let problem = made.as_ref().err().cloned();
    let seen = Seen { digest, problem };
    (seen != *before).then_some((seen, made))
}

fn too_slow(files: &[File]) -> FileProblem {
    let variables: Vec<_> = files.iter().map(|file| file.variable).collect();
    let variable = variables.first().copied().unwrap_or_default();
    let problem = match variables.len() {
        1 => "cannot be read: it takes too long".to_owned(),
        _ => format!("one of {} takes too long to be read", variables.join(", ")),
    };
    FileProblem::new(variable, problem)
}

fn report(kind: FileKind, problem: Option<&FileProblem>) {
    let is_used = problem.is_none();
    telemetry::record(Event::Loaded { kind, is_used });
    match problem {
        None => tracing::info!(file = %kind, "a changed file is in use"),
        Some(problem) => tracing::error!(
            file = %kind,
            %problem,
            "a changed file is refused: the previous content stays in use"
        ),
    }
}

fn read(files: &[File]) -> Result<Vec<Content>, FileProblem> {
    let contents = files.iter().map(|file| {
        read_file(&file.path)
            .map_err(|error| FileProblem::new(file.variable, format!("cannot be read: {error}")))
    });
    contents.collect()
}

fn read_file(path: &Path) -> io::Result<Content> {
    // Asked first: opening a pipe waits for its writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let file = fs::File::open(path)?;
    // Room for all of it from the start: a buffer that grows leaves copies behind.
    let length = file.metadata()?.len().min(MAX_BYTES);
    let room = usize::try_from(length).unwrap_or_default() + 1;
    let mut content = Zeroizing::new(Vec::with_capacity(room));
    file.take(MAX_BYTES + 1).read_to_end(&mut content)?;
    match content.len() as u64 > MAX_BYTES {
        true => Err(io::Error::other("it is larger than 4 MiB")),
        false => Ok(content),
    }
}

fn digest(contents: &[Content]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for content in contents {
        digest.update((content.len() as u64).to_be_bytes());
        digest.update(content);
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests;
