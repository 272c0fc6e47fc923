//! One file, several processes: each has a `World` of its own.

use super::*;

/// What every process that names the file is configured with.
fn shared(folder: &tempfile::TempDir) -> SimConfig {
    SimConfig { state: Some(folder.path().join("world.json")), ..config() }
}

#[tokio::test]
async fn what_one_process_does_another_sees() {
    let folder = tempfile::tempdir().unwrap();
    let [one, other] = [(), ()].map(|()| scene_of(&shared(&folder), Clock::system()));
    one.provider.launch(&request(&["w1"])).await.unwrap();
    assert_eq!(other.world.calls().len(), 1);
    other.provider.launch(&request(&["w2"])).await.unwrap();
    other.provider.launch(&request(&["w3"])).await.unwrap();
    assert_eq!(one.world.machines().len(), 3);
    let again = one.provider.launch(&request(&["w2"])).await.unwrap();
    assert_eq!(one.world.machines().len(), 3, "it was launched by the other: {again:?}");
    assert_eq!(one.world.calls(), other.world.calls());
}

#[test]
fn of_what_several_processes_do_at_once_nothing_is_lost() {
    const EACH: usize = 20;
    let folder = tempfile::tempdir().unwrap();
    let all = || World::new(&shared(&folder), Clock::system()).unwrap();
    let add = || {
        let world = all();
        (0..EACH).for_each(|_| drop(world.add_foreign_instance()));
    };
    std::thread::scope(|threads| (0..4).for_each(|_| drop(threads.spawn(add))));
    assert_eq!(all().machines().len(), 4 * EACH);
}

#[test]
fn a_world_whose_file_cannot_be_used_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("world.json"), "{ torn").unwrap();
    let refused = World::new(&shared(&folder), Clock::system()).unwrap_err();
    assert!(refused.to_string().contains("world.json cannot be used"), "{refused}");
}
