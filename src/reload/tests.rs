use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use super::*;

/// A directory that is removed when dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("reload-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: &str) -> File {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        let variable = "A_FILE";
        File { variable, path }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn has(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.0.lock().unwrap()).contains(text)
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn text(contents: &[Content]) -> Result<String, FileProblem> {
    let text = contents
        .iter()
        .map(|content| String::from_utf8_lossy(content));
    let text: Vec<_> = text.collect();
    match text.iter().any(|text| text.starts_with("bad")) {
        true => Err(FileProblem::new("A_FILE", "is bad")),
        false => Ok(text.join("+")),
    }
}

async fn until(value: &Reloaded<String>, expected: &str) {
    let mut current = value.current.clone();
    let wait = current.wait_for(|value| ***value == *expected);
    let found = tokio::time::timeout(Duration::from_secs(20), wait).await;
    assert!(
        found.is_ok(),
        "{:?} instead of {expected:?}",
        value.current()
    );
}

#[tokio::test]
async fn a_change_is_taken_and_a_content_that_cannot_be_used_is_refused() {
    let directory = Directory::new();
    let files = [directory.file("a", "1"), directory.file("b", "2")];
    let made = Arc::new(AtomicUsize::new(0));
    let counted = made.clone();
    let make = move |contents: &[Content]| {
        counted.fetch_add(1, Ordering::SeqCst);
        text(contents)
    };
    let every = Duration::from_millis(1);
    let value = Reloaded::open(FileKind::Tls, files.to_vec(), every, make).unwrap();
    until(&value, "1+2").await;

    fs::write(&files[1].path, "bad").unwrap();
    let at_refusal = made.load(Ordering::SeqCst);
    let refused = async {
        while made.load(Ordering::SeqCst) == at_refusal {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), refused)
        .await
        .unwrap();
    assert_eq!(*value.current(), "1+2");

    fs::remove_file(&files[1].path).unwrap();
    std::os::unix::fs::symlink(directory.file("c", "3").path, &files[1].path).unwrap();
    until(&value, "1+3").await;
}

#[tokio::test(start_paused = true)]
async fn reading_that_hangs_is_a_problem_and_ends_nothing() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
    let _logged_here = tracing::subscriber::set_default(subscriber.finish());
    let directory = Directory::new();
    let file = directory.file("a", "1");
    let (hang, hangs) = std::sync::mpsc::channel::<()>();
    let hangs = Mutex::new(hangs);
    let make = move |contents: &[Content]| {
        let text = text(contents)?;
        if text == "hangs" {
            // Returns when the other end is dropped.
            hangs.lock().unwrap().recv().unwrap_err();
        }
        Ok(text)
    };
    let every = Duration::from_secs(1);
    let value = Reloaded::open(FileKind::Tls, vec![file.clone()], every, make).unwrap();
    fs::write(&file.path, "hangs").unwrap();
    // The clock does not move by itself while something is read.
    while !lines.has("A_FILE: cannot be read: it takes too long") {
        tokio::time::advance(every).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(*value.current(), "1");
    drop(hang);
    until(&value, "hangs").await;
    assert!(lines.has("a changed file is in use"));
}

#[test]
fn only_a_content_that_was_not_seen_before_is_looked_at() {
    let directory = Directory::new();
    let file = directory.file("a", "1");
    let files = [file.clone()];
    let first = Seen {
        digest: Some(digest(&read(&files).unwrap())),
        problem: None,
    };
    let look = |before: &Seen| look(&files, before, &text);
    assert!(look(&first).is_none());
    fs::write(&file.path, "bad").unwrap();
    let (refused, made) = look(&first).unwrap();
    assert!(made.is_err());
    assert!(look(&refused).is_none(), "it would be logged again");
    // As when a certificate becomes valid.
    let all = |_: &[Content]| Ok("all".to_owned());
    assert_eq!(
        super::look(&files, &refused, &all).unwrap().1.unwrap(),
        "all"
    );
    fs::remove_file(&file.path).unwrap();
    let (gone, made) = look(&refused).unwrap();
    assert!(made.unwrap_err().problem.starts_with("cannot be read: "));
    assert!(look(&gone).is_none(), "it would be logged again");
    fs::write(&file.path, "1").unwrap();
    assert_eq!(look(&gone).unwrap().1.unwrap(), "1");
}

#[test]
fn a_file_that_is_too_large_or_no_file_is_a_problem_of_its_setting() {
    let directory = Directory::new();
    let large = directory.file("a", "");
    fs::write(&large.path, vec![b'x'; 4 * 1024 * 1024 + 1]).unwrap();
    let pipe = directory.0.join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let variable = "A_FILE";
    for (path, problem) in [
        (pipe, "not a regular file"),
        (large.path, "larger than 4 MiB"),
        (directory.0.clone(), "not a regular file"),
        (directory.0.join("marker"), "No such file"),
        (PathBuf::from("/dev/zero"), "not a regular file"),
    ] {
        let found = once(&[File { variable, path }], text)
            .unwrap_err()
            .to_string();
        assert!(found.starts_with("A_FILE: cannot be read: "), "{found}");
        assert!(
            found.contains(problem) && !found.contains("marker"),
            "{found}"
        );
    }
}
