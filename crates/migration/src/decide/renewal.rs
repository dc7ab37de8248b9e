//! A new certificate for whoever shows an older one of the same name.

use super::Refusal;
use crate::certificates::{CertificateHolder, LIVE_MAX};
use crate::event::Event;
use crate::world::World;
use shardlift_model::UnixMillis;

/// Decided once more here, although the handshake has looked: the one that was shown may have been taken back meanwhile.
pub(super) fn renew(
    world: &World,
    shown: &str,
    holder: &CertificateHolder,
    (serial, not_after): (&str, UnixMillis),
    now: UnixMillis,
) -> Result<Vec<Event>, Refusal> {
    if world.certificates.get(shown).is_some_and(|known| known.revoked.is_some()) {
        return Err(Refusal::invalid("the certificate that was shown is revoked", "ask the operator for a new token"));
    }
    if let Some(node) = holder.node() {
        let serials = &super::moves::known(world, &node)?.serials;
        let live = serials.iter().filter_map(|serial| world.certificates.get(serial));
        let live = live.filter(|known| known.revoked.is_none() && known.not_after.is_none_or(|ends| ends > now));
        if live.count() >= LIVE_MAX {
            let message = format!("`{node}` has {LIVE_MAX} certificates that have not ended");
            return Err(Refusal::invalid(message, "use the newest one, or have the others revoked"));
        }
    }
    let renews = Some(shown.to_owned());
    world.checked(Event::CertificateIssued { serial: serial.to_owned(), holder: holder.clone(), not_after, renews })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Bench, node};
    use crate::input::{Input, Revocation};
    use crate::node::CertificateState;
    use shardlift_model::{NodeId, RevocationReason, Role, Sha256};

    const FAR: UnixMillis = UnixMillis(4_000_000_000_000);

    fn holder(name: &str) -> CertificateHolder {
        CertificateHolder { role: Role::Node, name: name.to_owned() }
    }

    fn renewal(shown: &str, serial: &str, name: &str) -> Input {
        let (shown, serial) = (shown.to_owned(), serial.to_owned());
        Input::RenewCertificate { shown, serial, holder: holder(name), not_after: FAR }
    }

    fn enrolled(name: &str, serial: &str) -> Bench {
        let mut bench = Bench::planned(&[("one", &[], &["n1", "n2"])]);
        enrol(&mut bench, name, serial, 7);
        bench
    }

    fn enrol(bench: &mut Bench, name: &str, serial: &str, token: u8) {
        let token = Sha256([token; 32]);
        bench.input(Input::GrantEnrolment { node: node(name), token, expires_at: FAR }).unwrap();
        let serial = serial.to_owned();
        bench.input(Input::Enrol { token, public_key: token, serial, not_after: FAR }).unwrap();
    }

    fn state(bench: &Bench, name: &NodeId) -> CertificateState {
        bench.world.nodes[name].certificate.clone()
    }

    #[test]
    fn who_renews_before_the_first_use_is_awaited_with_the_new_one() {
        let (mut bench, name) = (enrolled("n1", "a1"), node("n1"));
        bench.input(renewal("a1", "a2", "n1")).unwrap();
        assert_eq!(state(&bench, &name), CertificateState::Issued { serial: "a1".to_owned() });
        bench.input(Input::CertificateSeen { node: name.clone(), serial: "a2".to_owned() }).unwrap();
        assert_eq!(state(&bench, &name), CertificateState::InUse { serial: "a2".to_owned() });
        // One of an earlier token ends with its time.
        enrol(&mut bench, "n1", "b1", 8);
        assert!(bench.input(renewal("a2", "a3", "n1")).is_err());
        assert_eq!(state(&bench, &name), CertificateState::Issued { serial: "b1".to_owned() });
        assert_eq!(bench.world.nodes[&node("n2")].serials, Vec::<String>::new());
    }

    #[test]
    fn what_was_taken_back_or_is_of_another_gets_nothing() {
        let mut bench = enrolled("n1", "a1");
        enrol(&mut bench, "n2", "c1", 9);
        assert!(bench.input(renewal("a1", "a2", "n2")).is_err(), "of another node");
        assert!(bench.input(renewal("a1", "a2", "n9")).is_err(), "of no node");
        assert!(bench.input(renewal("a1", "c1", "n1")).is_err(), "a serial that is taken");
        assert!(bench.input(renewal("77", "a2", "n1")).is_err(), "not of its token");
        let serials = vec!["a1".to_owned()];
        bench.input(Input::Revoke(Revocation { serials, ..Revocation::default() })).unwrap();
        assert!(bench.input(renewal("a1", "a3", "n1")).is_err(), "revoked");
    }

    #[test]
    fn with_a_certificate_goes_all_that_was_got_by_showing_it() {
        let mut bench = enrolled("n1", "a1");
        for (shown, serial) in [("a1", "a2"), ("a2", "05"), ("a1", "a3")].map(|(a, b)| (a, b.trim_start_matches('0'))) {
            bench.input(renewal(shown, serial, "n1")).unwrap();
        }
        let serials = vec!["a2".to_owned()];
        let reason = RevocationReason::KeyCompromise;
        bench.input(Input::Revoke(Revocation { serials, reason, ..Revocation::default() })).unwrap();
        let revoked: Vec<&str> = bench
            .world
            .certificates
            .iter()
            .filter(|(_, known)| known.revoked.is_some())
            .map(|(serial, _)| serial.as_str())
            .collect();
        assert_eq!(revoked, ["5", "a2"]);
    }

    #[test]
    fn a_link_that_has_ended_leads_on() {
        let mut bench = enrolled("n1", "a1");
        let short = UnixMillis(bench.now.0 + 1_000);
        let (shown, serial) = ("a1".to_owned(), "a2".to_owned());
        bench.input(Input::RenewCertificate { shown, serial, holder: holder("n1"), not_after: short }).unwrap();
        bench.input(renewal("a2", "a3", "n1")).unwrap();
        bench.now = UnixMillis(short.0 + 1);
        bench.input(Input::Revoke(Revocation { serials: vec!["a1".to_owned()], ..Revocation::default() })).unwrap();
        let is_revoked = |serial: &str| bench.world.certificates[serial].revoked.is_some();
        assert_eq!(["a1", "a2", "a3"].map(is_revoked), [true, false, true]);
    }

    #[test]
    fn renewing_without_need_comes_to_an_end() {
        let mut bench = enrolled("n1", "a0");
        let serial = |count: usize| format!("a{count:x}");
        for count in 1..LIVE_MAX {
            bench.input(renewal("a0", &serial(count), "n1")).unwrap();
        }
        let refused = bench.input(renewal("a0", "ff", "n1")).unwrap_err();
        assert!(refused.message.contains("16 certificates that have not ended"), "{refused:?}");
        bench.now = UnixMillis(FAR.0 + 1);
        bench.input(renewal("af", "ff", "n1")).unwrap();
        assert_eq!(bench.world.nodes[&node("n1")].serials.len(), LIVE_MAX);
    }
}
