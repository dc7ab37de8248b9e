//! Certificates that were seen in use: first and last time of each, so many at most.

use super::{CertificateChange, Transaction, keys};
use crate::engine::error::EngineError;
use crate::engine::record::SeenCertificate;
use crate::engine::tables;
use crate::engine::writer::Done;
use redb::ReadableTable as _;
use shardlift_model::{NodeId, UnixMillis};

/// Certificates kept per node; what has not been seen for longest goes.
const CERTIFICATES_MAX: usize = 200;

impl Transaction<'_> {
    /// Widens what is known about each certificate; times never narrow.
    pub(super) fn certificates(
        &mut self,
        node: &NodeId,
        seen: Vec<SeenCertificate>,
    ) -> Result<Result<Done, EngineError>, EngineError> {
        for mut certificate in seen {
            let key = tables::certificate_key(node, &certificate.issuer, &certificate.serial);
            let known = self.certificates.get(key.as_slice()).map_err(EngineError::index)?;
            let known = known.map(|value| times(value.value())).transpose()?;
            match known {
                Some((first, last)) => {
                    certificate.first_seen = certificate.first_seen.min(first);
                    certificate.last_seen = certificate.last_seen.max(last);
                }
                None => self.make_room(node)?,
            }
            let mut value = certificate.first_seen.0.to_be_bytes().to_vec();
            value.extend_from_slice(&certificate.last_seen.0.to_be_bytes());
            self.certificates.insert(key.as_slice(), value.as_slice()).map_err(EngineError::index)?;
            let (issuer, serial) = (certificate.issuer.clone(), certificate.serial.clone());
            self.seen.push(CertificateChange { node: node.clone(), issuer, serial, seen: Some(certificate) });
        }
        Ok(Ok(Done::Nothing))
    }

    /// Drops the certificate that was not seen for longest when there are too many.
    fn make_room(&mut self, node: &NodeId) -> Result<(), EngineError> {
        let mut rows = Vec::new();
        for key in keys(&self.certificates, node)? {
            let value = self.certificates.get(key.as_slice()).map_err(EngineError::index)?;
            let last = value.map(|value| times(value.value())).transpose()?.map(|(_, last)| last);
            rows.push((last, key));
        }
        if rows.len() < CERTIFICATES_MAX {
            return Ok(());
        }
        if let Some((_, key)) = rows.into_iter().min() {
            self.certificates.remove(key.as_slice()).map_err(EngineError::index)?;
            let (issuer, serial) = tables::certificate_in_key(node, &key)?;
            self.seen.push(CertificateChange { node: node.clone(), issuer, serial, seen: None });
        }
        Ok(())
    }
}

fn times(value: &[u8]) -> Result<(UnixMillis, UnixMillis), EngineError> {
    Ok((UnixMillis(tables::number(value, 0)?), UnixMillis(tables::number(value, 8)?)))
}
