use super::*;

fn states() -> Vec<WorkerState> {
    vec![
        WorkerState::Requested,
        WorkerState::Booting,
        WorkerState::Joined,
        WorkerState::Ready,
        WorkerState::Cordoned,
        WorkerState::Draining,
        WorkerState::Drained,
        WorkerState::Terminating,
        WorkerState::Gone,
        WorkerState::Failed { failure: Failure::Lost },
    ]
}

fn events() -> Vec<WorkerEvent> {
    vec![
        WorkerEvent::Launched {
            instance: "i".into(),
            shape: "s".into(),
            zone: "z".into(),
            market: Market::OnDemand,
        },
        WorkerEvent::Joined { node: NodeRef { name: "n".into(), uid: "u".into() } },
        WorkerEvent::BecameReady,
        WorkerEvent::Cordon { purpose: Purpose::Idle },
        WorkerEvent::StartDrain,
        WorkerEvent::Drained,
        WorkerEvent::Noticed,
        WorkerEvent::Release,
        WorkerEvent::Terminate,
        WorkerEvent::Finished,
        WorkerEvent::Fail { failure: Failure::Lost },
    ]
}

/// The whole table, as `docs/architecture.md` shows it.
fn table() -> String {
    let mut lines = vec![
        format!("| | {} |", events().iter().map(WorkerEvent::name).collect::<Vec<_>>().join(" | ")),
        format!("|---|{}", "---|".repeat(events().len())),
    ];
    for state in states() {
        let cells: Vec<&str> = events()
            .iter()
            .map(|event| state.clone().on(event).map_or("", |next| next.name()))
            .collect();
        lines.push(format!("| **{}** | {} |", state.name(), cells.join(" | ")));
    }
    lines.join("\n")
}

#[test]
fn the_state_table_in_the_documentation_is_the_one_in_the_code() {
    let page = include_str!("../../../docs/architecture.md");
    assert!(
        page.contains(&table()),
        "docs/architecture.md should hold this table:\n\n{}\n",
        table()
    );
}

#[test]
fn every_state_has_its_name_in_the_list() {
    let names: Vec<&str> = states().iter().map(WorkerState::name).collect();
    assert_eq!(names, WorkerState::NAMES);
}

#[test]
fn a_committed_termination_is_never_taken_back() {
    for event in events() {
        let next = WorkerState::Terminating.on(&event);
        assert!(matches!(next, Ok(WorkerState::Gone) | Err(_)), "{}", event.name());
        assert!(WorkerState::Gone.on(&event).is_err(), "{}", event.name());
    }
}

/// A later answer of a launch may pair its machines in another way.
#[test]
fn one_that_has_its_machine_cannot_have_come_to_nothing() {
    for failure in [Failure::NotLaunched, Failure::Refused] {
        let event = WorkerEvent::Fail { failure };
        assert_eq!(WorkerState::Requested.on(&event), Ok(WorkerState::Failed { failure }));
        for state in states().into_iter().filter(|state| *state != WorkerState::Requested) {
            assert!(state.clone().on(&event).is_err(), "{}", state.name());
        }
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn worker(state: WorkerState) -> Worker {
    Worker {
        id: "w".into(),
        pool: "p".into(),
        batch: None,
        shape: "s".into(),
        zone: "z".into(),
        market: Market::Spot,
        instance: None,
        node: None,
        state,
        since: at(0),
        created: at(0),
        ready: None,
        purpose: None,
        deadline_from: at(0),
        held: Duration::from_secs(10),
        held_since: Some(at(50)),
        blocked: Some("a budget".to_owned()),
        template: None,
        last_words: None,
    }
}

#[test]
fn a_clock_that_stands_still_does_not_count_towards_a_deadline() {
    let mut worker = worker(WorkerState::Draining);
    assert_eq!(worker.elapsed(at(70)), Duration::from_secs(40));
    worker.on(&WorkerEvent::Drained, at(70)).unwrap();
    assert_eq!(worker.elapsed(at(75)), Duration::from_secs(5), "a new state starts a new clock");
    assert_eq!(worker.blocked, None, "and nothing is known to keep it there");
}

#[test]
fn a_machine_on_its_way_in_has_one_deadline_until_it_is_ready() {
    let mut worker = worker(WorkerState::Booting);
    let node = NodeRef { name: "n".into(), uid: "u".into() };
    worker.on(&WorkerEvent::Joined { node }, at(70)).unwrap();
    assert_eq!(worker.since, at(70));
    assert_eq!(worker.elapsed(at(75)), Duration::from_secs(45), "30 s stood still");
    worker.on(&WorkerEvent::BecameReady, at(80)).unwrap();
    assert_eq!(worker.elapsed(at(82)), Duration::from_secs(2));
}
