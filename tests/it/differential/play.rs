//! Plays the cases of one cluster after another.

use super::draft::Draft;
use super::judge::{Answer, Explanation};
use super::pods;
use super::stage::{Stage, Verdict};
use super::table::Table;
use super::world::{Placed, World};
use bellwether::model::{ClusterView, Node, Pod};
use std::fmt::Write as _;

/// Cases of one cluster.
pub(super) const PER_CLUSTER: usize = 40;

/// How often a pod is put to the scheduler before it is believed that it means what it says: it hears of each kind of
/// object by itself, and may know of a pod before it knows of the node that came just before.
const ASKED: usize = 3;

/// One pod, and what both say of it.
struct Case {
    draft: Draft,
    pod: Pod,
    before: ClusterView,
    answer: Answer,
    verdict: Verdict,
}

/// Whether both say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Agreed,
    Explained(Explanation),
    Unexplained,
}

/// Plays up to so many cases of the cluster with this seed, and tells the story of each disagreement that nothing
/// explains.
pub(super) async fn play(
    stage: &mut Stage,
    seed: u64,
    cases: usize,
    table: &mut Table,
) -> Vec<String> {
    let mut world = World::of(seed);
    stage.build(&world).await;
    let mut stories = Vec::new();
    for number in 0..cases {
        if pods::somebody_leaves(&mut world) {
            for draft in world.leaving() {
                stage.remove(&draft).await;
            }
        }
        let draft = pods::draft(&mut world, number);
        let case = judged(stage, draft, table).await;
        table.count(case.draft.kinds(), &case.answer, &case.draft.order, &case.verdict);
        match case.outcome() {
            Outcome::Agreed => (),
            Outcome::Explained(explanation) => table.explain(explanation),
            Outcome::Unexplained => {
                table.unexplained += 1;
                stories.push(case.story(seed, number));
            }
        }
        match &case.verdict {
            Verdict::Bound(node) => {
                world.placed.push(Placed { node: node.clone(), draft: case.draft });
            }
            Verdict::Unschedulable(_) => stage.remove(&case.draft).await,
        }
    }
    stories
}

/// Puts a pod to both; again, as if nothing had been, where they disagree for no reason.
async fn judged(stage: &mut Stage, draft: Draft, table: &mut Table) -> Case {
    let mut draft = draft;
    for again in 1.. {
        let (before, pod) = stage.create(&draft).await;
        let answer = Answer::of(&before, &pod);
        let verdict = stage.verdict(&draft).await;
        let case = Case { draft, pod, before, answer, verdict };
        let is_clear = case.outcome() != Outcome::Unexplained;
        if is_clear || again == ASKED || case.has_found_volumes() {
            table.again += usize::from(is_clear && again > 1);
            return case;
        }
        stage.remove(&case.draft).await;
        draft = Draft { name: format!("{}-{again}", case.draft.name), ..case.draft };
    }
    unreachable!("a loop without an end")
}

impl Case {
    fn outcome(&self) -> Outcome {
        let (order, verdict) = (&self.draft.order, &self.verdict);
        if self.answer.agrees(order, verdict) {
            return Outcome::Agreed;
        }
        let explanation = self.answer.explanation(order, verdict);
        explanation.map_or(Outcome::Unexplained, Outcome::Explained)
    }

    /// Whether it cannot be asked again as if nothing had been: its claims have their volumes now.
    fn has_found_volumes(&self) -> bool {
        self.verdict.node().is_some() && !self.draft.new_claims.is_empty()
    }

    /// All that is needed to understand it.
    fn story(&self, seed: u64, number: usize) -> String {
        let mut story = String::new();
        let mut line = |line: String| writeln!(story, "{line}").unwrap();
        line(format!(
            "case {number} of the cluster of seed {seed} (FROM={seed} CASES={}):",
            number + 1
        ));
        match &self.verdict {
            Verdict::Bound(node) => line(format!("the scheduler chose {node}")),
            Verdict::Unschedulable(why) => line(format!("the scheduler said: {why}")),
        }
        line(format!("the pod: {}", self.draft.json()));
        line(format!("as we see it: {:?}", self.pod.spec));
        line(
            "the nodes, in the order in which the pod likes them, and what we say forbids each:"
                .to_owned(),
        );
        for name in &self.draft.order {
            if let Some(node) = self.before.nodes().find(|node| node.at.name.as_str() == name) {
                line(format!("  {name}: {:?}", self.answer.nodes.get(name)));
                line(format!("    {}", told(node)));
            }
        }
        line("the pods that are there:".to_owned());
        for pod in self.before.pods() {
            if let Some(node) = pod.node() {
                line(format!("  {} on {node}: {:?}", pod.name, pod.spec));
            }
        }
        story
    }
}

fn told(node: &Node) -> String {
    format!(
        "{:?} {:?} {:?} labels {:?} taints {:?}",
        node.readiness, node.cordon, node.allocatable, node.labels, node.taints
    )
}
