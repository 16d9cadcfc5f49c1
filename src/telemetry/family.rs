//! Series by their labels. Unlike the families of `prometheus_client`, they can be removed by the component that they are
//! about, and a constructor may capture settings.

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Metric, Registry, Unit};
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

/// Labels that name a component.
pub(super) trait OfComponent {
    fn component(&self) -> &str;

    /// Whether the component was removed; then its labels get no new series.
    fn is_removed(&self) -> bool;
}

macro_rules! of_component {
    ($labels:ident) => {
        impl $crate::telemetry::family::OfComponent for $labels {
            fn component(&self) -> &str {
                self.component.name()
            }

            fn is_removed(&self) -> bool {
                self.component.is_removed()
            }
        }
    };
}
pub(super) use of_component;

/// Cheap to clone; clones share the series.
pub(super) struct Family<L, M> {
    series: Arc<RwLock<HashMap<L, M>>>,
    constructor: Arc<dyn Fn() -> M + Send + Sync>,
}

impl<L, M> Clone for Family<L, M> {
    fn clone(&self) -> Self {
        Self { series: Arc::clone(&self.series), constructor: Arc::clone(&self.constructor) }
    }
}

impl<L: fmt::Debug, M: fmt::Debug> fmt::Debug for Family<L, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Family").field("series", &self.series).finish_non_exhaustive()
    }
}

impl<L, M: Default + 'static> Default for Family<L, M> {
    fn default() -> Self {
        Self::new_with_constructor(M::default)
    }
}

impl<L, M> Family<L, M> {
    pub(super) fn new_with_constructor(constructor: impl Fn() -> M + Send + Sync + 'static) -> Self {
        Self { series: Arc::default(), constructor: Arc::new(constructor) }
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<L, M>> {
        self.series.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<L: Clone + Hash + Eq, M: Clone> Family<L, M> {
    /// The series with these labels.
    pub(super) fn get_or_create(&self, labels: &L) -> M {
        let known = self.series.read().unwrap_or_else(PoisonError::into_inner).get(labels).cloned();
        known.unwrap_or_else(|| self.write().entry(labels.clone()).or_insert_with(|| (self.constructor)()).clone())
    }

    pub(super) fn remove(&self, labels: &L) {
        self.write().remove(labels);
    }
}

impl<L: OfComponent + Clone + Hash + Eq, M: Clone> Family<L, M> {
    /// As [`Self::get_or_create`], for labels that a call may have longer than their component exists. What it counts after
    /// the component was removed is on no page.
    pub(super) fn get_or_detached(&self, labels: &L) -> M {
        let known = self.series.read().unwrap_or_else(PoisonError::into_inner).get(labels).cloned();
        known.unwrap_or_else(|| {
            // A removal marks the labels first, and then takes this lock.
            let mut series = self.write();
            if labels.is_removed() {
                return (self.constructor)();
            }
            series.entry(labels.clone()).or_insert_with(|| (self.constructor)()).clone()
        })
    }
}

impl<L, M> EncodeMetric for Family<L, M>
where
    L: EncodeLabelSet,
    M: EncodeMetric + TypedMetric,
{
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (labels, metric) in self.series.read().unwrap_or_else(PoisonError::into_inner).iter() {
            metric.encode(encoder.encode_family(labels)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }

    fn is_empty(&self) -> bool {
        self.series.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl<L, M> TypedMetric for Family<L, M>
where
    M: TypedMetric,
{
    const TYPE: MetricType = M::TYPE;
}

/// What labels of a family about components are.
pub(super) trait ComponentLabels: OfComponent + EncodeLabelSet + fmt::Debug + Send + Sync + 'static {}

impl<L: OfComponent + EncodeLabelSet + fmt::Debug + Send + Sync + 'static> ComponentLabels for L {}

/// What the series of a family are.
pub(super) trait Series: EncodeMetric + TypedMetric + fmt::Debug + Send + Sync + 'static {}

impl<M: EncodeMetric + TypedMetric + fmt::Debug + Send + Sync + 'static> Series for M {}

/// Removes the series about a component.
trait Forget: fmt::Debug + Send + Sync {
    fn forget(&self, component: &str);
}

impl<L, M> Forget for Family<L, M>
where
    L: OfComponent + fmt::Debug + Send + Sync,
    M: fmt::Debug + Send + Sync,
{
    fn forget(&self, component: &str) {
        self.write().retain(|labels, _| labels.component() != component);
    }
}

/// A registry that knows which families are about components.
#[derive(Debug, Default)]
pub(super) struct Registrar {
    pub(super) registry: Registry,
    by_component: Vec<(SeriesGroup, Box<dyn Forget>)>,
    /// Of the families that are added next.
    pub(super) group: SeriesGroup,
}

/// Which components have the series of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum SeriesGroup {
    #[default]
    Any,
    /// Those with an input.
    Input,
    /// Those with an output to AWS.
    Output,
    /// Those with AWS credentials.
    Credentials,
}

impl Registrar {
    pub(super) fn new(registry: Registry) -> Self {
        Self { registry, by_component: Vec::new(), group: SeriesGroup::Any }
    }

    /// A new family about components.
    pub(super) fn family<L: ComponentLabels, M: Series + Default>(&mut self, name: &str, help: &str) -> Family<L, M> {
        self.add(None, name, help, Family::default())
    }

    /// The same with a unit, which becomes part of the name.
    pub(super) fn family_in<L, M>(&mut self, unit: Unit, name: &str, help: &str) -> Family<L, M>
    where
        L: ComponentLabels,
        M: Series + Default,
    {
        self.add(Some(unit), name, help, Family::default())
    }

    /// A new family of histograms about components.
    pub(super) fn histograms<L: ComponentLabels>(
        &mut self,
        constructor: impl Fn() -> Histogram + Send + Sync + 'static,
        unit: Option<Unit>,
        name: &str,
        help: &str,
    ) -> Family<L, Histogram> {
        self.add(unit, name, help, Family::new_with_constructor(constructor))
    }

    fn add<L, M>(&mut self, unit: Option<Unit>, name: &str, help: &str, family: Family<L, M>) -> Family<L, M>
    where
        L: ComponentLabels,
        M: Series,
    {
        match unit {
            Some(unit) => self.registry.register_with_unit(name, help, unit, family.clone()),
            None => self.registry.register(name, help, family.clone()),
        }
        self.by_component.push((self.group, Box::new(family.clone())));
        family
    }

    /// Registers what is about the whole process, and returns it.
    pub(super) fn global<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.registry.register(name, help, metric.clone());
        metric
    }

    /// Removes the series of a component in the groups that are selected.
    pub(super) fn forget(&self, component: &str, is_selected: impl Fn(SeriesGroup) -> bool) {
        let families = self.by_component.iter().filter(|(group, _)| is_selected(*group));
        families.for_each(|(_, family)| family.forget(component));
    }
}
