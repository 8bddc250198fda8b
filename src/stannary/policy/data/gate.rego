# What `stannary gate` decides, in Rego: for OPA, Conftest, or whatever else evaluates it.
#
# Input is the document that `stannary gate TARGET --export-input FILE` writes. Times are microseconds since 1970.
# `deny` holds the name of every requirement that does not hold; `allow` is true when there is none. It is the same
# decision as policy/decide.py, which a test holds on thousands of generated cases.
package stannary.gate

import rego.v1

default allow := false

allow if count(deny) == 0

skew := 300000000

severities := {"critical": 0, "high": 1, "medium": 2, "low": 3, "info": 4, "none": 5}

# What is known about the subject; revocations are of its ancestors too.
known contains e if {
	some e in input.evidence
	about(e)
}

about(e) if e.subject == input.subject

about(e) if e.kind == "revocation"

since(e) := min([e.issued, e.recorded]) if e.recorded != null

since(e) := e.issued if e.recorded == null

# One statement supersedes another when it came into the log later and was not issued before it. The document has each
# statement once: one that is logged again is not newer by it.
supersedes(o, e) if {
	since(o) >= since(e)
	[o.index, since(o), o.id] > [e.index, since(e), e.id]
}

# Something was recorded after now: a clock is wrong.
deny contains "clock" if {
	some e in input.evidence
	e.recorded != null
	e.recorded > input.now + skew
}

# A policy that requires nothing allows nothing.
deny contains "policy" if count(policy.require) == 0

# A revocation denies, whatever else is there.
deny contains "revocation" if {
	some e in known
	standing(e)
	e.outcome != "passed"
}

standing(e) if {
	e.kind == "revocation"
	e.issued <= input.now + skew
	newer := [o | some o in known; o.kind == "revocation"; o.subject == e.subject; o.issued <= input.now + skew; supersedes(o, e)]
	count(newer) == 0
}

deny contains name if {
	some req in policy.require
	name := req.name
	not holds(req)
	not waived(req)
}

holds(req) if {
	req.approvals == null
	found := newest(req)
	count(found) > 0
	every e in found {
		satisfies(req, e)
	}
}

holds(req) if {
	req.approvals != null
	last := newest_by_identity(req)
	count([e | some e in last; e.outcome == "failed"]) == 0
	count({e.identity | some e in last; approves(e); not stale(req, e)}) >= req.approvals
}

approves(e) if {
	e.outcome == "passed"
	e.kind != "statement"
}

# A text without a decision approves nothing.
approves(e) if {
	e.outcome == "passed"
	e.verdict == "approve"
}

usable(req) := {e |
	some e in known
	e.kind == req.kind
	check_matches(req, e)
	e.issued <= input.now + skew
	signer_counts(req, e)
	not e.identity in {o.identity | some o in known; o.kind in req.not_by}
}

check_matches(req, e) if req.check in {"", e.check}

signer_counts(req, _) if count(req.signers) == 0

signer_counts(req, e) if e.identity in req.signers

newest(req) := {e |
	all := usable(req)
	some e in all
	count([o | some o in all; o.check == e.check; supersedes(o, e)]) == 0
}

newest_by_identity(req) := {e |
	all := usable(req)
	some e in all
	count([o | some o in all; o.identity == e.identity; supersedes(o, e)]) == 0
}

stale(_, e) if {
	e.expires != null
	e.expires <= input.now
}

stale(req, e) if {
	req.max_age != null
	input.now - since(e) > req.max_age
}

satisfies(req, e) if {
	not stale(req, e)
	not e.partial
	not e.outcome in {"incomplete", "error"}
	verdict_matches(req, e)
	findings_pass(req, e)
	every m in req.measures {
		measured(m, e)
	}
}

verdict_matches(req, _) if count(req.verdicts) == 0

verdict_matches(req, e) if e.verdict in req.verdicts

findings_pass(req, e) if {
	req.max_severity == null
	e.outcome == "passed"
}

findings_pass(req, e) if {
	req.max_severity != null
	counted(req, e) == 0
}

findings_pass(req, e) if {
	req.max_severity != null
	listed := [f | some f in e.findings; severities[f.severity] < severities[req.max_severity]]
	count([f | some f in listed; not finding_waived(f)]) == 0
	counted(req, e) <= count(listed)
}

counted(req, e) := sum([n | n := e.counts[severity]; severities[severity] < severities[req.max_severity]])

measured(m, e) if {
	rows := [row | some row in e.measurements; row.metric == m.metric]
	count(rows) > 0
	every row in rows {
		row.low <= row.value
		row.value <= row.high
		reaches(m.min, row.low)
		within(m.max, row.high)
		sampled(m.min_samples, row.n)
	}
}

reaches(null, _)

reaches(bound, low) if {
	bound != null
	low >= bound
}

within(null, _)

within(bound, high) if {
	bound != null
	high <= bound
}

sampled(null, _)

sampled(bound, n) if {
	bound != null
	n >= bound
}

# Waivers: by whom the policy names, about the subject, not expired, not for longer than it allows.
valid_waivers contains w if {
	policy.waivers.allow
	some w in input.waivers
	w.subject == input.subject
	w.issued <= input.now + skew
	w.expires != null
	w.expires > input.now
	waiver_signer_counts(w)
	waiver_in_time(w)
}

waiver_signer_counts(_) if count(policy.waivers.signers) == 0

waiver_signer_counts(w) if w.identity in policy.waivers.signers

waiver_in_time(_) if policy.waivers.max_days == null

waiver_in_time(w) if {
	policy.waivers.max_days != null
	w.expires - w.issued <= policy.waivers.max_days * 86400000000
}

finding_waived(f) if {
	some w in valid_waivers
	w.rule == f.rule
	w.file in {"", f.file}
}

waived(req) if {
	req.waivable
	some w in valid_waivers
	w.rule == req.name
	w.file == ""
}
