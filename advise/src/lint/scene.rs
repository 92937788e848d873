//! Everything that the files say, in the words of the rules.

use super::Options;
use super::process::{ENDLESS, Process, Timing};
use super::yaml::Node;

/// All files, read.
#[derive(Debug, Default)]
pub(super) struct Scene {
    pub(super) options: Options,
    pub(super) workloads: Vec<Workload>,
    /// Objects of Kubernetes that are no workloads.
    pub(super) objects: Vec<Object>,
    pub(super) units: Vec<Unit>,
    pub(super) services: Vec<Service>,
    pub(super) images: Vec<Image>,
    pub(super) env_files: Vec<EnvFile>,
    pub(super) hosts: Vec<Host>,
    pub(super) balancers: Vec<Balancer>,
}

/// An object of Kubernetes.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) file: usize,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) root: Node,
}

/// What makes pods.
#[derive(Debug)]
pub(super) struct Workload {
    pub(super) object: Object,
    /// The pod's template; of a Pod, the pod itself.
    pub(super) template: Node,
    pub(super) containers: Vec<Container>,
    /// The place of the worker among the containers, and its timing; `None`: nothing says that it is one.
    pub(super) worker: Option<(usize, Timing)>,
}

/// A container of a pod.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) node: Node,
    pub(super) process: Process,
    /// Whether it begins before the others and ends after them.
    pub(super) is_sidecar: bool,
}

/// A unit of systemd.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) file: usize,
    pub(super) name: String,
    /// Section, key, value, line; in the file's order.
    pub(super) entries: Vec<(String, String, String, usize)>,
    pub(super) process: Process,
    pub(super) timing: Option<Timing>,
}

/// A service of a compose file.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) file: usize,
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) node: Node,
    pub(super) process: Process,
    pub(super) timing: Option<Timing>,
}

/// The last stage of a Dockerfile.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) file: usize,
    /// Instruction, its words, line.
    pub(super) instructions: Vec<(String, String, usize)>,
    pub(super) process: Process,
}

/// A file of variables.
#[derive(Debug)]
pub(super) struct EnvFile {
    pub(super) file: usize,
    pub(super) process: Process,
}

/// A hosting platform.
#[derive(Debug)]
pub(super) struct Platform {
    pub(super) name: &'static str,
    /// The setting of its grace.
    pub(super) setting: &'static str,
    /// The grace in seconds that it gives by itself, and the most that it gives.
    pub(super) default_s: u64,
    pub(super) cap_s: u64,
}

/// The grace that a hosting platform gives, as its file says.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) file: usize,
    pub(super) line: usize,
    pub(super) platform: &'static Platform,
    /// `None`: the platform's own.
    pub(super) grace_s: Option<u64>,
    /// The line of a setting that stops machines that look idle.
    pub(super) stops_idle: Option<usize>,
    pub(super) timing: Option<Timing>,
}

/// Settings of a load balancer: name, value, line; with what they stand in.
#[derive(Debug)]
pub(super) struct Balancer {
    pub(super) file: usize,
    pub(super) program: &'static str,
    /// Section, key, value, line.
    pub(super) entries: Vec<(String, String, String, usize)>,
}

impl Balancer {
    /// The first value of a key, and its line.
    pub(super) fn get(&self, key: &str) -> Option<(&str, usize)> {
        self.entries.iter().find(|(_, name, _, _)| name == key).map(|(_, _, value, line)| (value.as_str(), *line))
    }
}

impl Workload {
    pub(super) fn pod(&self) -> Option<&Node> {
        self.template.get("spec")
    }

    pub(super) fn kind(&self) -> &str {
        &self.object.kind
    }

    /// The worker's container.
    pub(super) fn worker(&self) -> Option<(&Container, &Timing)> {
        let (place, timing) = self.worker.as_ref()?;
        Some((self.containers.get(*place)?, timing))
    }

    /// How it is called in a finding.
    pub(super) fn title(&self) -> String {
        format!("{} {}", self.object.kind, self.object.name)
    }

    /// How many pods there are to be; `None`: something else says.
    pub(super) fn replicas(&self) -> Option<u64> {
        let spec = self.object.root.get("spec")?;
        spec.text_of("replicas").map_or(Some(1), |text| text.parse().ok())
    }

    pub(super) fn line(&self) -> usize {
        self.object.root.line
    }

    /// The line of the pod's specification, for what is not set in it.
    pub(super) fn pod_line(&self) -> usize {
        self.template.line_of("spec").unwrap_or(self.object.root.line)
    }

    /// Whether a selector's labels are on the pods.
    pub(super) fn is_selected_by(&self, labels: &Node) -> bool {
        let on_pod = |name: &str| self.template.at(&["metadata", "labels", name]).and_then(Node::text);
        labels.pairs().count() > 0 && labels.pairs().all(|(name, value)| on_pod(name) == value.text())
    }
}

impl Scene {
    /// Workloads that are known to be workers.
    pub(super) fn workers(&self) -> impl Iterator<Item = (&Workload, &Container, &Timing)> {
        self.workloads.iter().filter_map(|workload| {
            let (container, timing) = workload.worker()?;
            Some((workload, container, timing))
        })
    }

    /// Objects of a kind.
    pub(super) fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Object> {
        self.objects.iter().filter(move |object| object.kind == kind)
    }

    /// The longest time that any call is expected to last, by what is known of the workers; an hour, if nothing is.
    pub(super) fn longest_call_s(&self) -> u64 {
        let drains = self.workers().map(|(_, _, timing)| timing.drain);
        let drains = drains.chain(self.services.iter().filter_map(|service| Some(service.timing.as_ref()?.drain)));
        let stated = self.options.longest_call.or(self.options.drain);
        stated.or_else(|| drains.flatten().max()).unwrap_or(ENDLESS).as_secs()
    }

    /// Every process with the file that it is in: its name and what it says.
    pub(super) fn processes(&self) -> Vec<(usize, String, &Process)> {
        let pods = self.workloads.iter().flat_map(|workload| {
            let title = move |container: &Container| format!("container {} of {}", container.name, workload.title());
            workload.containers.iter().map(move |of| (workload.object.file, title(of), &of.process))
        });
        let units = self.units.iter().map(|unit| (unit.file, unit.name.clone(), &unit.process));
        let services = self.services.iter().map(|of| (of.file, format!("service {}", of.name), &of.process));
        let images = self.images.iter().map(|image| (image.file, "the image".into(), &image.process));
        let files = self.env_files.iter().map(|file| (file.file, "the file".into(), &file.process));
        pods.chain(units).chain(services).chain(images).chain(files).collect()
    }
}

impl Unit {
    /// The last value of a key in `[Service]`, and its line.
    pub(super) fn get(&self, key: &str) -> Option<(&str, usize)> {
        let mut entries = self.entries.iter().rev();
        let (_, _, value, line) = entries.find(|(section, name, _, _)| section == "Service" && name == key)?;
        Some((value, *line))
    }
}
