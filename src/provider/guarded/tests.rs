use super::*;
use std::collections::VecDeque;

/// A provider that answers what it is told, one answer per call; `None` never answers.
#[derive(Debug, Default)]
struct Scripted {
    answers: Mutex<VecDeque<Option<Result<Vec<Instance>>>>>,
    asked: Mutex<Vec<Instant>>,
}

impl Scripted {
    fn of(answers: impl IntoIterator<Item = Option<Result<Vec<Instance>>>>) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.into_iter().collect()),
            asked: Mutex::default(),
        })
    }

    async fn answer(&self) -> Result<Vec<Instance>> {
        self.asked.lock().unwrap().push(Instant::now());
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(Some(Ok(Vec::new())));
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

#[async_trait]
impl Provider for Scripted {
    async fn launch(&self, _: &LaunchRequest) -> Result<Launched> {
        self.answer().await.map(|_| Launched::default())
    }
    async fn terminate(&self, _: &ClusterUid, _: &PoolName, _: &InstanceId) -> Result<()> {
        self.answer().await.map(drop)
    }
    async fn list(&self, _: &PoolName) -> Result<Vec<Instance>> {
        self.answer().await
    }
    async fn shapes(&self, _: &PoolName) -> Result<Vec<Shape>> {
        self.answer().await.map(|_| Vec::new())
    }
    async fn may_end(&self, _: &PoolName, _: &InstanceId) -> Result<bool> {
        self.answer().await.map(|_| true)
    }
    async fn console(&self, _: &PoolName, _: &InstanceId) -> Result<Option<String>> {
        self.answer().await.map(|_| Some("no route".to_owned()))
    }
}

fn guarded(inner: &Arc<Scripted>) -> Guarded {
    Guarded::new(inner.clone(), GuardedConfig::default(), Arc::new(Metrics::new()))
}

#[expect(clippy::unnecessary_wraps, reason = "an entry of a script")]
fn away() -> Option<Result<Vec<Instance>>> {
    Some(Err(Error::Unavailable("away".to_owned())))
}

fn request() -> LaunchRequest {
    LaunchRequest {
        cluster: "c".into(),
        cluster_uid: "u".into(),
        pool: "p".into(),
        batch: "b".into(),
        token: None,
        orders: Vec::new(),
        fallback: Vec::new(),
        labels: BTreeMap::new(),
        taints: Vec::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_is_tried_again_when_the_provider_is_away_for_a_moment() {
    let inner = Scripted::of([away(), away()]);
    guarded(&inner).list(&"p".into()).await.unwrap();
    assert_eq!(inner.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_not_tried_again() {
    let inner = Scripted::of([Some(Err(Error::Denied("no".to_owned())))]);
    assert_eq!(guarded(&inner).list(&"p".into()).await, Err(Error::Denied("no".to_owned())));
    assert_eq!(inner.asked(), 1);
}

/// A process that was stopped while it waited to try again ended a machine under a claim that was another's by then.
#[tokio::test(start_paused = true)]
async fn an_act_is_asked_for_once_for_each_time_that_it_was_permitted() {
    for answer in [None, away(), Some(Err(Error::Throttled))] {
        let inner = Scripted::of([answer.clone()]);
        guarded(&inner).launch(&request()).await.unwrap_err();
        assert_eq!(inner.asked(), 1);
        let inner = Scripted::of([answer]);
        guarded(&inner).terminate(&"u".into(), &"p".into(), &"i".into()).await.unwrap_err();
        assert_eq!(inner.asked(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_shapes_are_tried_again_too() {
    let inner = Scripted::of([Some(Err(Error::Throttled))]);
    guarded(&inner).shapes(&"p".into()).await.unwrap();
    assert_eq!(inner.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_times_out_and_its_effect_is_unknown() {
    let inner = Scripted::of([None]);
    let error = guarded(&inner).launch(&request()).await.unwrap_err();
    assert_eq!(error, Error::TimedOut);
    assert_eq!(error.left_behind(), super::super::LeftBehind::Unknown);
}

#[tokio::test(start_paused = true)]
async fn after_failures_in_a_row_it_is_not_asked_until_its_time() {
    let inner = Scripted::of((0..5).map(|_| away()));
    let guarded = guarded(&inner);
    for _ in 0..5 {
        guarded.launch(&request()).await.unwrap_err();
    }
    assert_eq!(guarded.launch(&request()).await, Err(Error::NotAsked));
    assert_eq!(inner.asked(), 5);
    guarded.list(&"p".into()).await.unwrap();
    tokio::time::advance(Duration::from_secs(31)).await;
    guarded.launch(&request()).await.unwrap();
}

/// All pools of an account share what it bears: a launch of many is no failure of it.
#[tokio::test(start_paused = true)]
async fn a_call_that_its_own_pace_holds_back_opens_no_breaker_and_makes_nobody_slower() {
    let inner = Scripted::of(std::iter::repeat_n(Some(Err(Error::NotAsked)), 9));
    let guarded = guarded(&inner);
    let rate = || guarded.bucket.lock().unwrap().rate;
    let before = rate();
    for _ in 0..9 {
        assert_eq!(guarded.launch(&request()).await, Err(Error::NotAsked));
    }
    assert_eq!((inner.asked(), rate()), (9, before));
    assert_eq!(counted(&guarded, "launch", "not_asked"), 9);
    guarded.launch(&request()).await.unwrap();
}

/// It was no sign of life either.
#[tokio::test(start_paused = true)]
async fn a_call_that_was_held_back_in_between_hides_no_failures() {
    let inner = Scripted::of((0..5).flat_map(|_| [away(), Some(Err(Error::NotAsked))]));
    let guarded = guarded(&inner);
    for _ in 0..10 {
        guarded.launch(&request()).await.unwrap_err();
    }
    assert_eq!((guarded.launch(&request()).await, inner.asked()), (Err(Error::NotAsked), 9));
}

#[tokio::test(start_paused = true)]
async fn no_capacity_is_an_answer_and_opens_no_breaker() {
    let inner = Scripted::of((0..9).map(|_| Some(Err(Error::Capacity("none".to_owned())))));
    let guarded = guarded(&inner);
    for _ in 0..9 {
        assert!(matches!(guarded.launch(&request()).await, Err(Error::Capacity(_))));
    }
}

#[tokio::test(start_paused = true)]
async fn calls_beyond_the_burst_come_at_the_rate() {
    let inner = Scripted::of([]);
    let guarded = guarded(&inner);
    let began = Instant::now();
    for _ in 0..60 {
        guarded.list(&"p".into()).await.unwrap();
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(950) && took <= Duration::from_millis(1_100), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_asked_too_much_is_asked_half_as_often_and_by_and_by_as_ever() {
    let inner = Scripted::of([Some(Err(Error::Throttled))]);
    let config = GuardedConfig { rate: 10, burst: 1, retries: 0, ..GuardedConfig::default() };
    let guarded = Guarded::new(inner.clone(), config, Arc::new(Metrics::new()));
    let pool = "p".into();
    guarded.list(&pool).await.unwrap_err();
    for _ in 0..12 {
        guarded.list(&pool).await.unwrap();
    }
    let asked = inner.asked.lock().unwrap().clone();
    let gaps: Vec<u128> = asked.windows(2).map(|two| (two[1] - two[0]).as_millis()).collect();
    assert!((199..=201).contains(&gaps[0]), "half of ten a second: {gaps:?}");
    assert!(gaps.windows(2).all(|two| two[1] <= two[0] + 6), "{gaps:?}");
    assert!((99..=101).contains(gaps.last().unwrap()), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_turn_is_waited_for_seconds_at_most_however_many_wait() {
    let inner = Scripted::of([]);
    let config = GuardedConfig { rate: 1, burst: 1, ..GuardedConfig::default() };
    let guarded = Guarded::new(inner, config, Arc::new(Metrics::new()));
    let begun = Instant::now();
    let pool = "p".into();
    futures_util::future::join_all((0..100).map(|_| guarded.turn(&pool))).await;
    assert!(begun.elapsed() <= TURN, "{:?}", begun.elapsed());
    let begun = Instant::now();
    guarded.turn(&pool).await;
    assert!(begun.elapsed() <= TURN, "and nobody pays for them later");
}

#[tokio::test(start_paused = true)]
async fn whether_a_machine_may_be_ended_is_asked_once_and_soon_known_or_not() {
    let inner = Scripted::of([None]);
    let guarded = guarded(&inner);
    let begun = Instant::now();
    let told = guarded.may_end(&"p".into(), &"i".into()).await;
    assert_eq!((told, inner.asked()), (Err(Error::TimedOut), 1));
    assert!(begun.elapsed() <= SOON);
}

#[tokio::test(start_paused = true)]
async fn whether_a_machine_may_be_ended_is_asked_however_often_that_failed() {
    let inner = Scripted::of((0..8).map(|_| away()));
    let guarded = guarded(&inner);
    for _ in 0..8 {
        guarded.may_end(&"p".into(), &"i".into()).await.unwrap_err();
    }
    assert_eq!(inner.asked(), 8);
}

#[tokio::test(start_paused = true)]
async fn what_has_gathered_is_not_spent_on_a_provider_that_is_asked_too_much() {
    let inner = Scripted::of([Some(Err(Error::Throttled))]);
    let config = GuardedConfig { rate: 10, burst: 50, retries: 0, ..GuardedConfig::default() };
    let guarded = Guarded::new(inner.clone(), config, Arc::new(Metrics::new()));
    for _ in 0..2 {
        let _ = guarded.list(&"p".into()).await;
    }
    let asked = inner.asked.lock().unwrap().clone();
    assert_eq!((asked[1] - asked[0]).as_millis(), 200);
}

#[tokio::test(start_paused = true)]
async fn however_often_it_says_so_it_is_asked_a_tenth_as_often_at_least() {
    let inner = Scripted::of(std::iter::repeat_n(Some(Err(Error::Throttled)), 8));
    let config =
        GuardedConfig { rate: 10, burst: 1, retries: 0, failures: 100, ..GuardedConfig::default() };
    let guarded = Guarded::new(inner.clone(), config, Arc::new(Metrics::new()));
    for _ in 0..9 {
        let _ = guarded.list(&"p".into()).await;
    }
    let asked = inner.asked.lock().unwrap().clone();
    let last = asked.last().unwrap().duration_since(asked[asked.len() - 2]).as_millis();
    assert!((990..=1_010).contains(&last), "{last}");
}

/// An act that waited for its turn after it was permitted was made under a claim that was another's by then.
#[tokio::test(start_paused = true)]
async fn an_act_waits_for_its_turn_before_it_is_permitted_and_not_in_its_call() {
    let guarded = guarded(&Scripted::of([]));
    for _ in 0..50 {
        guarded.turn(&"workers".into()).await;
    }
    let waited = Instant::now();
    guarded.terminate(&"u".into(), &"p".into(), &"i".into()).await.unwrap();
    guarded.launch(&request()).await.unwrap();
    assert_eq!(waited.elapsed(), Duration::ZERO);
    guarded.turn(&"workers".into()).await;
    assert!(waited.elapsed() >= Duration::from_millis(40));
}

fn short(answers: u32) -> GuardedConfig {
    GuardedConfig { failures: answers, retries: 0, ..GuardedConfig::default() }
}

/// How often a kind of call ended in this way, by the metrics.
fn counted(guarded: &Guarded, call: &str, outcome: &str) -> u64 {
    guarded.metrics.calls.total.with_label_values(&["provider", call, outcome]).get()
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_a_time_out_stands_for_it_can_be_acted_on() {
    let denied = Error::Denied("no".to_owned());
    let inner = Scripted::of([None, Some(Err(denied.clone()))]);
    assert_eq!(guarded(&inner).list(&"p".into()).await, Err(denied));
}

#[tokio::test(start_paused = true)]
async fn when_its_time_has_come_an_open_breaker_lets_one_call_through_and_no_more() {
    let inner = Scripted::of([away(), None]);
    let guarded = Guarded::new(inner.clone(), short(1), Arc::new(Metrics::new()));
    guarded.list(&"p".into()).await.unwrap_err();
    tokio::time::advance(Duration::from_secs(31)).await;
    let pool = "p".into();
    let (first, second, third) =
        tokio::join!(guarded.list(&pool), guarded.list(&pool), guarded.list(&pool));
    assert_eq!(first, Err(Error::TimedOut));
    assert_eq!((second, third), (Err(Error::NotAsked), Err(Error::NotAsked)));
    assert_eq!(inner.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failed_try_opens_the_breaker_anew_and_a_good_one_closes_it() {
    let inner = Scripted::of([away(), away()]);
    let guarded = Guarded::new(inner.clone(), short(1), Arc::new(Metrics::new()));
    guarded.list(&"p".into()).await.unwrap_err();
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(guarded.list(&"p".into()).await, Err(Error::Unavailable("away".to_owned())));
    assert_eq!(guarded.list(&"p".into()).await, Err(Error::NotAsked));
    tokio::time::advance(Duration::from_secs(31)).await;
    for _ in 0..3 {
        guarded.list(&"p".into()).await.unwrap();
    }
    assert_eq!(inner.asked(), 5);
}

/// It taught nothing: whether AWS is there again, the next one finds out at once.
#[tokio::test(start_paused = true)]
async fn a_try_that_was_held_back_leaves_its_turn_to_the_next_call() {
    let held = || Some(Err(Error::NotAsked));
    let inner = Scripted::of([away(), held(), held(), away()]);
    let guarded = Guarded::new(inner.clone(), short(1), Arc::new(Metrics::new()));
    let pool = "p".into();
    guarded.list(&pool).await.unwrap_err();
    tokio::time::advance(Duration::from_secs(31)).await;
    for asked in [2, 3] {
        assert_eq!((guarded.list(&pool).await, inner.asked()), (Err(Error::NotAsked), asked));
    }
    assert_eq!(guarded.list(&pool).await, Err(Error::Unavailable("away".to_owned())));
    assert_eq!(guarded.list(&pool).await, Err(Error::NotAsked), "that was an answer");
    assert_eq!(inner.asked(), 4);
    tokio::time::advance(Duration::from_secs(31)).await;
    guarded.list(&pool).await.unwrap();
}

/// Several are under way at once.
#[tokio::test(start_paused = true)]
async fn a_call_from_before_that_was_held_back_lets_nobody_through_an_open_breaker() {
    let inner = Scripted::of([away(), Some(Err(Error::NotAsked))]);
    let guarded = Guarded::new(inner.clone(), short(1), Arc::new(Metrics::new()));
    let (held, pool) = (tokio::sync::Notify::new(), "p".into());
    let before = guarded.once("list", async {
        held.notified().await;
        inner.answer().await
    });
    let opens = async {
        guarded.list(&pool).await.unwrap_err();
        held.notify_one();
    };
    let (answer, ()) = tokio::join!(before, opens);
    assert_eq!((answer, inner.asked()), (Err(Error::NotAsked), 2));
    assert_eq!((guarded.list(&pool).await, inner.asked()), (Err(Error::NotAsked), 2));
}

#[tokio::test(start_paused = true)]
async fn a_try_that_was_given_up_by_its_caller_does_not_shut_the_breaker_for_ever() {
    let inner = Scripted::of([away(), None]);
    let guarded = Guarded::new(inner.clone(), short(1), Arc::new(Metrics::new()));
    guarded.list(&"p".into()).await.unwrap_err();
    tokio::time::advance(Duration::from_secs(31)).await;
    let pool = "p".into();
    tokio::time::timeout(Duration::from_secs(1), guarded.list(&pool)).await.unwrap_err();
    assert_eq!(guarded.list(&pool).await, Err(Error::NotAsked));
    tokio::time::advance(Duration::from_secs(31)).await;
    guarded.list(&pool).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn waits_between_attempts_double_with_up_to_half_taken_off() {
    let inner = Scripted::of([away(), away()]);
    guarded(&inner).list(&"p".into()).await.unwrap();
    let asked = inner.asked.lock().unwrap().clone();
    for (pair, full) in asked.windows(2).zip([200, 400]) {
        let waited = pair[1] - pair[0];
        // One more millisecond: the timer's own grain.
        let span = Duration::from_millis(full / 2)..=Duration::from_millis(full + 1);
        assert!(span.contains(&waited), "{waited:?} of {full} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_counted_by_its_outcome() {
    let inner = Scripted::of([away(), Some(Err(Error::Throttled))]);
    let guarded = guarded(&inner);
    guarded.list(&"p".into()).await.unwrap();
    let counts = ["unavailable", "throttled", "ok"].map(|kind| counted(&guarded, "list", kind));
    assert_eq!((counts, counted(&guarded, "launch", "ok")), ([1, 1, 1], 0));
}

#[tokio::test(start_paused = true)]
async fn a_console_is_waited_for_a_moment_only_and_not_asked_again() {
    let inner = Scripted::of([None]);
    let guarded = guarded(&inner);
    let asked = tokio::time::Instant::now();
    let (pool, instance) = ("p".into(), "i-1".into());
    assert_eq!(guarded.console(&pool, &instance).await, Err(Error::TimedOut));
    assert_eq!((asked.elapsed(), inner.asked()), (Duration::from_secs(5), 1));
    assert_eq!(guarded.console(&pool, &instance).await.unwrap().as_deref(), Some("no route"));
}
