use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;

use super::*;

/// A directory of directories: `lib` and `more` are roots, `private` is not.
///
/// ```text
/// lib/a.wav  lib/a b.wav  lib/50%.wav  lib/menü.wav  lib/x.wav.wav  lib/deep/c.wav  lib/dir.wav/
/// lib/both.wav -> ../more/both.wav    lib/in.wav -> deep/c.wav    lib/out.wav -> private/s.wav
/// lib/away -> private    lib/dangling.wav -> nothing    lib/pipe.wav  lib/socket.wav
/// more/both.wav  more/only.wav  more/dir.wav    private/s.wav    link -> lib    library/z.wav
/// ```
fn tree() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().canonicalize().unwrap();
    for folder in ["lib/deep", "lib/dir.wav", "more", "private", "library"] {
        fs::create_dir_all(base.join(folder)).unwrap();
    }
    for file in [
        "lib/a.wav",
        "lib/a b.wav",
        "lib/50%.wav",
        "lib/menü.wav",
        "lib/x.wav.wav",
        "lib/deep/c.wav",
        "more/both.wav",
        "more/only.wav",
        "more/dir.wav",
        "private/s.wav",
        "library/z.wav",
    ] {
        fs::write(base.join(file), file).unwrap();
    }
    for (link, to) in [
        ("lib/both.wav", "../more/both.wav"),
        ("lib/in.wav", "deep/c.wav"),
        ("lib/out.wav", "../private/s.wav"),
        ("lib/away", "../private"),
        ("lib/dangling.wav", "nothing"),
        ("lib/loop.wav", "loop.wav"),
        ("link", "lib"),
    ] {
        symlink(to, base.join(link)).unwrap();
    }
    UnixListener::bind(base.join("lib/socket.wav")).unwrap();
    let pipe = base.join("lib/pipe.wav");
    assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
    (dir, base)
}

#[test]
fn finds_what_lies_in_the_directories() {
    let (_dir, base) = tree();
    let library = Library::new(vec![
        base.join("none"),
        base.join("link"),
        base.join("more"),
    ]);
    for (uri, file) in [
        ("a.wav", "lib/a.wav"),
        ("a", "lib/a.wav"),
        ("./a.wav", "lib/a.wav"),
        ("deep//c", "lib/deep/c.wav"),
        ("file:a.wav", "lib/a.wav"),
        ("FILE:a", "lib/a.wav"),
        ("file:deep/c.wav", "lib/deep/c.wav"),
        ("file:BASE/lib/a.wav", "lib/a.wav"),
        ("file:BASE/link/a.wav", "lib/a.wav"),
        ("file://BASE/lib/a", "lib/a.wav"),
        ("file://localhostBASE/lib/deep/c.wav", "lib/deep/c.wav"),
        ("file://LocalHostBASE/more/only", "more/only.wav"),
        ("BASE/lib/a.wav", "lib/a.wav"),
        ("only.wav", "more/only.wav"),
        ("in.wav", "lib/deep/c.wav"),
        // A name that is exact goes before one with an ending.
        ("x.wav", "lib/x.wav.wav"),
        // Not in the first root, to which its link is foreign, but in the second.
        ("both", "more/both.wav"),
        ("dir", "more/dir.wav"),
        ("a%20b.wav", "lib/a b.wav"),
        ("a b", "lib/a b.wav"),
        ("%61%2Ewa%76", "lib/a.wav"),
        ("deep%2fc.wav", "lib/deep/c.wav"),
        ("file%3Aa.wav", "lib/a.wav"),
        ("file:%2F%2FlocalhostBASE/lib/a", "lib/a.wav"),
        ("50%25", "lib/50%.wav"),
        ("men%C3%BC", "lib/menü.wav"),
        ("menü.wav", "lib/menü.wav"),
    ] {
        let uri = uri.replace("BASE", base.to_str().unwrap());
        match library.resolve(&uri) {
            Ok(path) => assert_eq!(path, base.join(file), "{uri}"),
            Err(error) => panic!("{uri}: {error}"),
        }
    }
}

#[test]
fn refuses_everything_else() {
    let (_dir, base) = tree();
    let library = Library::new(vec![base.join("lib")]);
    let long = "x".repeat(5000);
    let long_name = "x".repeat(300);
    for (uri, why) in [
        ("", "no file name"),
        ("file:", "no file name"),
        ("file://", "no file name"),
        ("file:///", "no file name"),
        ("file://localhost", "no file name"),
        ("a.wav/", "no file name"),
        (".", "no regular file"),
        ("/", "no file name"),
        ("deep", "no regular file"),
        ("dir", "no regular file"),
        ("dir.wav", "no regular file"),
        ("BASE/lib", "no regular file"),
        ("pipe.wav", "no regular file"),
        ("socket", "no regular file"),
        ("b.wav", "No such file"),
        ("dangling.wav", "No such file"),
        ("loop.wav", "symbolic links"),
        ("a.wav/b", "Not a directory"),
        ("a%2520b.wav", "No such file"),
        ("%252e%252e/private/s.wav", "No such file"),
        (&long_name, "too long"),
        (&long, "longer than any path"),
        ("../private/s.wav", "a \"..\""),
        ("..", "a \"..\""),
        ("deep/../a.wav", "a \"..\""),
        ("%2e%2e/private/s.wav", "a \"..\""),
        ("%2E./private/s.wav", "a \"..\""),
        ("..%2fprivate%2Fs.wav", "a \"..\""),
        ("%2e%2e%2fprivate/s.wav", "a \"..\""),
        ("file:../private/s.wav", "a \"..\""),
        ("file:BASE/lib/../private/s.wav", "a \"..\""),
        ("file://BASE/lib/%2e%2e/private/s.wav", "a \"..\""),
        ("file://localhost/../etc/passwd", "a \"..\""),
        ("/etc/passwd", "outside"),
        ("file:///etc/passwd", "outside"),
        ("file://localhost/etc/passwd", "outside"),
        ("file:/etc/passwd", "outside"),
        ("file:%2Fetc%2Fpasswd", "outside"),
        ("//etc/passwd", "outside"),
        ("BASE/private/s.wav", "outside"),
        // Begins alike, and is another directory.
        ("BASE/library/z.wav", "outside"),
        ("out.wav", "outside"),
        ("out", "outside"),
        ("away/s.wav", "outside"),
        ("away", "outside"),
        ("a.wav%00", "control character"),
        ("%00", "control character"),
        ("a%0d%0a.wav", "control character"),
        ("a\u{85}", "control character"),
        ("%ff.wav", "not UTF-8"),
        // An overlong slash.
        ("..%c0%af", "not UTF-8"),
        ("a%", "without two digits"),
        ("a%2", "without two digits"),
        ("a%zz", "without two digits"),
        ("a%+1", "without two digits"),
        ("http://example.net/a.wav", "scheme \"http\""),
        ("http%3a//example.net/a.wav", "scheme \"http\""),
        ("a:b.wav", "scheme \"a\""),
        ("file://example.net/a.wav", "host \"example.net\""),
        ("file://a.wav", "host \"a.wav\""),
    ] {
        let uri = uri.replace("BASE", base.to_str().unwrap());
        match library.resolve(&uri) {
            Ok(path) => panic!("{uri}: {}", path.display()),
            Err(error) => assert!(error.to_string().contains(why), "{uri}: {error}"),
        }
    }
}

#[test]
fn a_device_is_refused() {
    let error = Library::new(vec!["/dev".into()])
        .resolve("null")
        .unwrap_err();
    assert!(matches!(error, LibraryError::NotAFile { .. }), "{error}");
}

#[test]
fn without_directories_everything_is_refused() {
    let (_dir, base) = tree();
    let file = base.join("lib/a.wav");
    for roots in [vec![], vec![base.join("none")], vec![file.clone()]] {
        let library = Library::new(roots);
        for uri in ["a.wav", file.to_str().unwrap()] {
            assert!(library.resolve(uri).is_err(), "{library:?} {uri}");
        }
    }
}

#[test]
fn what_lies_beside_a_file_is_held_to_the_directories_too() {
    let (_dir, base) = tree();
    let library = Library::new(vec![base.join("none"), base.join("link")]);
    for (file, real) in [
        ("lib/deep/c.wav", Some("lib/deep/c.wav")),
        ("lib/in.wav", Some("lib/deep/c.wav")),
        // By a link of its directory, or of its own.
        ("lib/away/s.wav", None),
        ("lib/out.wav", None),
        ("lib/../private/s.wav", None),
        ("lib/deep", None),
        ("lib/nothing.wav", None),
        ("private/s.wav", None),
        ("library/z.wav", None),
    ] {
        let real = real.map(|real| base.join(real));
        assert_eq!(library.within(&base.join(file)), real, "{file}");
    }
}
