//! The selector of a build, a job or a step, which is the name that every command takes.

use std::fmt;

/// The selector of a build, a job or a step, such as `pyfoo/412`, `pyfoo/412/test@linux,3.14` or `pyfoo/412/test/2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selector<'a> {
    project: &'a str,
    build: u32,
    job: Option<&'a str>,
    step: Option<u16>,
}

impl<'a> Selector<'a> {
    /// Makes the selector of a build.
    pub fn build(project: &'a str, build: u32) -> Selector<'a> {
        Selector { project, build, job: None, step: None }
    }

    /// Makes the selector of a job of this build. `job` is its name with its cell.
    #[must_use]
    pub fn job(self, job: &'a str) -> Selector<'a> {
        Selector { job: Some(job), ..self }
    }

    /// Makes the selector of a step of this job. Steps are counted from 1.
    #[must_use]
    pub fn step(self, step: u16) -> Selector<'a> {
        Selector { step: Some(step), ..self }
    }
}

impl fmt::Display for Selector<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.build)?;
        if let Some(job) = self.job {
            write!(f, "/{job}")?;
        }
        self.step.map_or(Ok(()), |step| write!(f, "/{step}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_stands_behind_a_slash() {
        let build = Selector::build("pyfoo", 412);
        let all = [build, build.job("test@linux,3.14"), build.job("test").step(2)].map(|it| it.to_string());
        assert_eq!(all, ["pyfoo/412", "pyfoo/412/test@linux,3.14", "pyfoo/412/test/2"]);
    }
}
