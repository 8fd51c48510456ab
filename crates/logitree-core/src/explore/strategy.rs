//! Policies by name with their parameters, as the header of a run file stores them.

use super::{
    Beam, BeamParameters, BestFirst, BestFirstParameters, BranchRules, Dynamic, DynamicParameters, ParameterError,
    Policy, ResumeError, Sample, SampleParameters,
};
use crate::Tree;
use crate::sampling::Sampler;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Names of the branch rules: as parameters of a strategy, and as fields of [`BranchRules`]. They differ for `top_p`,
/// which is a parameter of the sampler too.
const RULES: [(&str, &str); 3] =
    [("min_path_prob", "min_path_prob"), ("top_p_branch", "top_p"), ("max_branches", "max_branches")];

/// How a tree is grown. As JSON: `{"strategy": NAME, "parameters": {…}}`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "strategy", content = "parameters", rename_all = "kebab-case")]
pub enum Strategy {
    /// [`Dynamic`], the default.
    Dynamic(DynamicParameters),
    /// [`BestFirst`].
    BestFirst(BestFirstParameters),
    /// [`Beam`].
    Beam(BeamParameters),
    /// [`Sample`].
    Sample(SampleParameters),
}

impl Strategy {
    /// The names of all strategies.
    pub const NAMES: [&str; 4] = ["dynamic", "best-first", "beam", "sample"];

    /// The strategy of this name with its default parameters.
    ///
    /// # Errors
    /// If no strategy has this name.
    pub fn named(name: &str) -> Result<Strategy, ParameterError> {
        Ok(match name {
            "dynamic" => Strategy::Dynamic(DynamicParameters::default()),
            "best-first" => Strategy::BestFirst(BestFirstParameters::default()),
            "beam" => Strategy::Beam(BeamParameters::default()),
            "sample" => Strategy::Sample(SampleParameters::default()),
            other => return Err(ParameterError::UnknownStrategy { name: other.into(), known: &Strategy::NAMES }),
        })
    }

    /// The strategy of this name with the parameters in `given`, and defaults for the others. Branch rules may be given
    /// among the other parameters (`top_p` is called `top_p_branch` there), or in an object `rules`, as in headers.
    ///
    /// # Errors
    /// Names the strategy or parameter that does not exist, or the parameter whose value has the wrong type or is
    /// outside its range.
    pub fn with(name: &str, given: &Map<String, Value>) -> Result<Strategy, ParameterError> {
        let mut made = Strategy::named(name)?;
        for (key, value) in given {
            made = match (&key[..], value) {
                ("rules", Value::Object(rules)) => {
                    let flat = |key: &String| if key == "top_p" { "top_p_branch".into() } else { key.clone() };
                    rules.iter().try_fold(made, |made, (key, value)| made.set(&flat(key), value))?
                }
                _ => made.set(key, value)?,
            };
        }
        made.check()?;
        Ok(made)
    }

    /// The parameters by name, as in headers.
    pub fn parameters(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(mut tagged)) => match tagged.remove("parameters") {
                Some(Value::Object(parameters)) => parameters,
                _ => Map::new(),
            },
            _ => Map::new(),
        }
    }

    /// Sets one parameter.
    fn set(&self, key: &str, value: &Value) -> Result<Strategy, ParameterError> {
        let kind = |why: serde_json::Error| ParameterError::Kind {
            name: key.into(),
            value: value.to_string(),
            why: why.to_string(),
        };
        if let Some(rule) = RULES.iter().find(|r| r.0 == key)
            && self.has(key)
        {
            let mut rules = serde_json::to_value(self.rules().unwrap_or_default()).map_err(kind)?;
            rules[rule.1] = value.clone();
            return Ok(self.with_rules(serde_json::from_value(rules).map_err(kind)?));
        }
        if !self.has(key) {
            let others = Strategy::NAMES.iter().filter_map(|name| Strategy::named(name).ok());
            let of = others.filter(|s| s.has(key)).map(|s| s.name()).collect();
            return Err(ParameterError::Unknown { name: key.into(), strategy: self.name(), of });
        }
        let mut parameters = self.parameters();
        parameters.insert(key.into(), value.clone());
        serde_json::from_value(json!({ "strategy": self.name(), "parameters": parameters })).map_err(kind)
    }

    /// Whether the strategy has a parameter of this name.
    fn has(&self, key: &str) -> bool {
        match RULES.iter().any(|r| r.0 == key) {
            true => self.rules().is_some(),
            false => key != "rules" && self.parameters().contains_key(key),
        }
    }

    fn rules(&self) -> Option<BranchRules> {
        match self {
            Strategy::Dynamic(p) => Some(p.rules),
            Strategy::BestFirst(p) => Some(p.rules),
            Strategy::Beam(p) => Some(p.rules),
            Strategy::Sample(_) => None,
        }
    }

    fn with_rules(self, rules: BranchRules) -> Strategy {
        match self {
            Strategy::Dynamic(p) => Strategy::Dynamic(DynamicParameters { rules, ..p }),
            Strategy::BestFirst(p) => Strategy::BestFirst(BestFirstParameters { rules, ..p }),
            Strategy::Beam(p) => Strategy::Beam(BeamParameters { rules, ..p }),
            Strategy::Sample(p) => Strategy::Sample(p),
        }
    }

    /// The name in headers and on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Strategy::Dynamic(_) => "dynamic",
            Strategy::BestFirst(_) => "best-first",
            Strategy::Beam(_) => "beam",
            Strategy::Sample(_) => "sample",
        }
    }

    /// Checks every parameter's range.
    ///
    /// # Errors
    /// Names the first parameter that is outside its range.
    pub fn check(&self) -> Result<(), ParameterError> {
        match self {
            Strategy::Dynamic(p) => p.check(),
            Strategy::BestFirst(p) => p.check(),
            Strategy::Beam(p) => p.check(),
            Strategy::Sample(p) => p.check(),
        }
    }

    /// The sampler whose distributions are explored, with their probabilities in the tree; `None` if they are the
    /// model's own, as they are where samples are drawn.
    pub fn sampler(&self) -> Option<Sampler> {
        match self {
            Strategy::BestFirst(p) => Some(p.sampler).filter(|s| *s != Sampler::PLAIN),
            _ => None,
        }
    }

    /// Makes the policy for a tree: an empty one, or that of a stopped run.
    ///
    /// # Errors
    /// If a parameter is outside its range, or the policy would not have grown this tree.
    pub fn policy(&self, tree: &Tree) -> Result<Box<dyn Policy>, ResumeError> {
        Ok(match *self {
            Strategy::Dynamic(p) => Box::new(Dynamic::resume(p, tree)?),
            Strategy::BestFirst(p) => Box::new(BestFirst::new(p, tree)?),
            Strategy::Beam(p) => Box::new(Beam::new(p, tree)?),
            Strategy::Sample(p) => Box::new(Sample::new(p, tree)?),
        })
    }
}
