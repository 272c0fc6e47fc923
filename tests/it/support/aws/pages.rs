//! `DescribeInstances`, in pages where that is asked for:
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html>.

use super::behind::Told;
use super::fault::Fault;
use super::scene::Scene;
use super::{Call, words, xml};
use std::collections::{BTreeMap, BTreeSet};

/// More than there ever are: moto ends a list after a hundred launches, whether or not pages were asked for.
pub(super) const ALL: &str = "1000000";

/// The lists that were told.
pub(super) struct Lists {
    /// How many instances a page holds at most. EC2 may tell fewer than it is asked for.
    pub(super) most: usize,
    /// How many lists still hide instances, and how many of those that were launched all may see.
    hides: (usize, usize),
    /// All pages by their tokens.
    pages: BTreeMap<String, Told>,
    told: usize,
}

impl Default for Lists {
    fn default() -> Self {
        Self { most: 50, hides: (0, 0), pages: BTreeMap::new(), told: 0 }
    }
}

impl Lists {
    /// So many lists hold no instances but the first so many that were launched.
    pub(super) fn hide(&mut self, lists: usize, launched: usize) {
        self.hides = (lists, launched);
    }

    /// Those that the list which is asked for now does not hold.
    fn hidden(&mut self, launched: &[String]) -> BTreeSet<String> {
        let (lists, seen) = self.hides;
        self.hides.0 = lists.saturating_sub(1);
        if lists == 0 { BTreeSet::new() } else { launched[seen..].iter().cloned().collect() }
    }

    /// Tells the first page, and keeps the others until they are asked for.
    fn tell(&mut self, pages: &[String]) -> Told {
        self.told += 1;
        let list = self.told;
        let token = |page: usize| format!("AAI{list:06x}Q{page:06x}");
        for (at, page) in pages.iter().enumerate() {
            let next = (at + 1 < pages.len()).then(|| xml::saying("nextToken", &token(at + 1)));
            let inside = next.map_or_else(|| page.clone(), |next| page.clone() + &next);
            self.pages.insert(token(at), xml::answer("DescribeInstances", &inside));
        }
        self.pages[&token(0)].clone()
    }

    /// A later page.
    fn page(&self, token: &str) -> Told {
        let message = "The specified pagination token is not valid or is expired.";
        let page = self.pages.get(token).cloned();
        page.unwrap_or_else(|| xml::refusal(400, "InvalidPaginationToken", message))
    }
}

/// The instances of one launch.
struct Reservation {
    /// What is told before them.
    head: String,
    instances: Vec<String>,
}

impl Reservation {
    fn read(text: &str) -> Self {
        let (head, _) = text.split_once("<instancesSet>").unwrap();
        let instances = xml::items(text, "instancesSet").into_iter().map(str::to_owned);
        Self { head: head.to_owned(), instances: instances.collect() }
    }

    fn hide(&mut self, hidden: &BTreeSet<String>) {
        self.instances.retain(|instance| !hidden.contains(&xml::said(instance, "instanceId")));
    }
}

impl Scene {
    pub(super) async fn describe_instances(&self, call: &Call, fault: Option<&Fault>) -> Told {
        if let Some(token) = call.words.get("NextToken") {
            return self.lists.lock().unwrap().page(token);
        }
        let listed = self.list(call, fault).await;
        listed.unwrap_or_else(|refusal| refusal)
    }

    async fn list(&self, call: &Call, fault: Option<&Fault>) -> Result<Told, Told> {
        let size = self.page_size(call)?;
        let hidden = {
            let launched = self.launched.lock().unwrap();
            self.lists.lock().unwrap().hidden(&launched)
        };
        let ids = words::values(&call.words, "InstanceId");
        if let Some(unknown) = ids.iter().find(|id| hidden.contains(*id)) {
            let message = format!("The instance ID '{unknown}' does not exist");
            return Err(xml::refusal(400, "InvalidInstanceID.NotFound", &message));
        }
        let mut launches = self.launches(call).await?;
        for launch in &mut launches {
            launch.hide(&hidden);
        }
        let mut pages = pages(&launches, size);
        match fault {
            Some(Fault::PageLost) if pages.len() > 1 => drop(pages.remove(1)),
            Some(Fault::PageTwice) if pages.len() > 1 => pages.insert(1, pages[1].clone()),
            _ => {}
        }
        Ok(self.lists.lock().unwrap().tell(&pages))
    }

    /// How many instances are on a page, or that the call is wrong. One that asks for no pages has one for all.
    fn page_size(&self, call: &Call) -> Result<usize, Told> {
        let Some(asked) = call.words.get("MaxResults") else { return Ok(usize::MAX) };
        if call.words.contains_key("InstanceId.1") {
            let message = "The parameter instancesSet cannot be used with the parameter maxResults";
            return Err(xml::refusal(400, "InvalidParameterCombination", message));
        }
        let Ok(size @ 5..=1000) = asked.parse::<usize>() else {
            let message = format!("Value ( {asked} ) for parameter maxResults is invalid.");
            return Err(xml::refusal(400, "InvalidParameterValue", &message));
        };
        Ok(self.lists.lock().unwrap().most.min(size))
    }

    /// All that moto lists.
    async fn launches(&self, call: &Call) -> Result<Vec<Reservation>, Told> {
        let (mut words, mut launches) = (call.words.clone(), Vec::new());
        words.remove("MaxResults");
        if !words.contains_key("InstanceId.1") {
            words.insert("MaxResults".to_owned(), ALL.to_owned());
        }
        loop {
            let told = self.moto.ask(&call.by, "DescribeInstances", &words).await;
            if !told.is_well() {
                return Err(told);
            }
            launches.extend(
                xml::items(&told.body, "reservationSet").into_iter().map(Reservation::read),
            );
            let Some(next) = xml::inside(&told.body, "nextToken") else { return Ok(launches) };
            words.insert("NextToken".to_owned(), next.to_owned());
        }
    }
}

/// Lists with so many instances each. What does not fit on a page of a launch is on the next.
fn pages(launches: &[Reservation], size: usize) -> Vec<String> {
    let mut all: Vec<(&Reservation, &String)> = Vec::new();
    for launch in launches {
        all.extend(launch.instances.iter().map(|instance| (launch, instance)));
    }
    let pages: Vec<String> = all.chunks(size).map(page).collect();
    // A list of none is a page too.
    if pages.is_empty() { vec![page(&[])] } else { pages }
}

fn page(all: &[(&Reservation, &String)]) -> String {
    let launches = all.chunk_by(|(one, _), (other, _)| std::ptr::eq(*one, *other));
    let launches: Vec<String> = launches
        .map(|launch| {
            let instances: Vec<&String> = launch.iter().map(|(_, instance)| *instance).collect();
            launch[0].0.head.clone() + &xml::list("instancesSet", &instances)
        })
        .collect();
    xml::list("reservationSet", &launches)
}
