//! No name and no path, wherever it comes from, reaches beyond its box.

use super::*;

#[test]
fn no_name_leaves_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let message = leave(&store, "100", RECEIVED);
    let before = files(dir.path());
    let long = "1".repeat(MAX_NAME + 1);
    for name in [
        "", ".", "..", "../100", "100/", "/100", "a/b", "a\\b", "a.b", "a b", "1\n", "\0", "é",
        "*", &long,
    ] {
        let draft = dir.path().join("voicemail").join(name).join("drafts/a.wav");
        for (what, error) in [
            ("list", store.list(name).err()),
            ("draft", store.draft(name, &origin()).err()),
            ("save", store.save("100", name).err()),
            ("delete", store.delete("100", name).err()),
            ("save", store.save(name, &message.id).err()),
            ("delete", store.delete(name, &message.id).err()),
        ] {
            assert!(
                matches!(error, Some(StoreError::Name(_))),
                "{what} {name:?}: {error:?}"
            );
        }
        let error = store.keep(&draft, &new_message(name, 0)).err();
        assert!(
            matches!(error, Some(StoreError::NotADraft { .. })),
            "{name:?}: {error:?}"
        );
    }
    let longest = "aZ_-".repeat(MAX_NAME / 4);
    assert_eq!(store.list(&longest).unwrap(), []);
    assert_eq!(files(dir.path()), before);
}

#[test]
fn only_drafts_of_the_box_are_kept_and_discarded() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let message = leave(&store, "100", RECEIVED);
    let draft = store.draft("100", &origin()).unwrap();
    record(&draft, 2000);
    let base = dir.path().join("voicemail");
    fs::write(base.join("100/drafts/a.txt"), "not ours").unwrap();
    record(&base.join("precious.wav"), 2000);
    let before = files(dir.path());
    for path in [
        message.file.clone(),
        message.file.with_extension("json"),
        base.join("precious.wav"),
        base.join("100/drafts/../../precious.wav"),
        base.join("100/drafts/a.txt"),
        base.join("100/drafts"),
        base.join("100/drafts/..wav"),
        PathBuf::from("/drafts/a.wav"),
        PathBuf::from("a.wav"),
        PathBuf::new(),
    ] {
        let kept = store.keep(&path, &new_message("100", 0)).map(drop);
        for result in [kept, store.discard(&path)] {
            assert!(
                matches!(result, Err(StoreError::NotADraft { .. })),
                "{path:?}: {result:?}"
            );
        }
    }
    let other = store.keep(&draft, &new_message("101", 0));
    assert!(matches!(other, Err(StoreError::NotADraft { .. })));
    assert_eq!(files(dir.path()), before);
}

#[test]
fn ids_differ_sort_by_time_and_are_names() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let ids: Vec<PathBuf> = (0..50)
        .map(|_| store.draft("100", &origin()).unwrap())
        .collect();
    assert!(ids.is_sorted_by(|a, b| a < b));
    let random = |path: &PathBuf| {
        let id = path.file_stem().unwrap().to_str().unwrap().to_owned();
        check_name(&id).unwrap();
        id.rsplit_once('-').unwrap().1.to_owned()
    };
    let randoms: HashSet<String> = ids.iter().map(random).collect();
    assert_eq!(randoms.len(), 50);
}
