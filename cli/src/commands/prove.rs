//! `cordon prove`: shows for every possible alert and device what tests show for a few. Reads the playbook and asks a
//! solver on this machine; reads no other setting, calls nobody and changes nothing.

use crate::{
    Ending, Reporting,
    commands::check::NO_GUARANTEES,
    desk::At,
    settings::{playbook_folder, read_playbook},
    show,
};
use clap::Args;
use credentials::Problems;
use prover::{Proof, Solver};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cordon prove                                        the playbook in the folder `playbook`
  CORDON_PLAYBOOK=playbook/examples/ransomware cordon prove
  cordon prove --json                                 the same as one JSON object, examples with every attribute
  CVC5=/opt/cvc5/bin/cvc5 cordon prove                with a cvc5 that is not on the PATH

It shows, for every alert, device and circumstance that there can be and not only for those that have come so far:
  that no policy of policy.cedar permits what a guarantee of guarantees.cedar forbids;
  that no policy and no guarantee can err, for a policy that errs says nothing;
  that none is there in vain: can never apply, or, a permit, only where a forbid stands against it.
It notes which policies could be left out without changing an answer; that is no failure.

Where a guarantee is violated it shows an alert and a device that come through, as ordinary as they can be: what is marked
as not ordinary is the hole, as a rule. Narrow the permit that it names, or put back the forbid, and prove again.

It needs the solver cvc5: `apt install cvc5` on Debian and Ubuntu, else a binary from
https://github.com/cvc5/cvc5/releases. The environment variable CVC5 names it where it is not on the PATH. What the solver
does not answer within a minute is not proved.

Exit codes: 0 everything is proved, 1 something is not, 2 no solver or no usable playbook.")]
pub(crate) struct Prove {
    #[command(flatten)]
    reporting: Reporting,
}

impl Prove {
    pub(crate) fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        let mut problems = Problems::default();
        let Some(playbook) = read_playbook(&playbook_folder(at.vars), &mut problems) else {
            return Err(Ending::Settings(problems.iter().map(str::to_owned).collect()));
        };
        let solver = Solver::named(at.vars.get("CVC5"));
        let proof = prover::prove(&playbook, &solver, &mut |what| show::progress(what));
        show::progress("");
        let proof = proof.map_err(|why| Ending::settings(why.to_string()))?;
        if self.reporting.json {
            show::json(&proof);
        } else {
            print(&proof);
        }
        let mut attention = proof.attention();
        if proof.guarantees == 0 {
            attention.push(NO_GUARANTEES.to_owned());
        }
        Ok(Ending::of(attention))
    }
}

fn print(proof: &Proof) {
    for finding in &proof.findings {
        finding.lines().iter().for_each(|line| show::line(line));
        show::line("");
    }
    proof.proved_lines().iter().for_each(|line| show::line(line));
    proof.spare_lines().iter().for_each(|line| show::line(line));
}
