//! Who is measured, and in what.

use super::usage::Usage;

/// What a tree goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Run {
    /// From nothing.
    First,
    /// Again, with nothing changed.
    Unchanged,
    /// Again, with 1 % changed.
    Changed,
}

impl Run {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Unchanged => "unchanged",
            Self::Changed => "changed",
        }
    }
}

/// What somebody is in the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Ours,
    /// What an operator would use instead.
    Peer,
    /// What the machine can do at most.
    Limit,
}

impl Standing {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Peer => "peer",
            Self::Limit => "limit",
        }
    }
}

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Contestant {
    Shardlift,
    RsyncSsh,
    RsyncDaemon,
    Rclone,
    TarTls,
    Copy,
    Pipeline,
    PipelineDirect,
}

impl Contestant {
    pub(super) const ALL: [Self; 8] = [
        Self::Shardlift,
        Self::RsyncSsh,
        Self::RsyncDaemon,
        Self::Rclone,
        Self::TarTls,
        Self::Copy,
        Self::Pipeline,
        Self::PipelineDirect,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Shardlift => "shardlift",
            Self::RsyncSsh => "rsync-ssh",
            Self::RsyncDaemon => "rsync-daemon",
            Self::Rclone => "rclone",
            Self::TarTls => "tar-tls",
            Self::Copy => "cp",
            Self::Pipeline => "pipeline",
            Self::PipelineDirect => "pipeline-direct",
        }
    }

    pub(super) const fn standing(self) -> Standing {
        match self {
            Self::Shardlift => Standing::Ours,
            Self::RsyncSsh | Self::RsyncDaemon | Self::Rclone | Self::TarTls => Standing::Peer,
            Self::Copy | Self::Pipeline | Self::PipelineDirect => Standing::Limit,
        }
    }

    /// How it moves, in a few words.
    pub(super) const fn how(self) -> &'static str {
        match self {
            Self::Shardlift => "mTLS, hashed and synced at the target, in its index",
            Self::RsyncSsh => "aes128-gcm, then syncfs",
            Self::RsyncDaemon => "not encrypted, then syncfs",
            Self::Rclone => "mTLS, then syncfs",
            Self::TarTls => "tar, openssl mTLS, tar, then syncfs",
            Self::Copy => "cp -a on one machine, then syncfs",
            Self::Pipeline => "read, rustls, sha256, write, syncfs",
            Self::PipelineDirect => "read, rustls, sha256, O_DIRECT write, syncfs",
        }
    }

    /// The programs it needs.
    pub(super) const fn tools(self) -> &'static [&'static str] {
        match self {
            Self::Shardlift | Self::Pipeline | Self::PipelineDirect => &[],
            Self::RsyncSsh => &["rsync", "ssh", "sshd", "ssh-keygen"],
            Self::RsyncDaemon => &["rsync"],
            Self::Rclone => &["rclone"],
            Self::TarTls => &["tar", "openssl", "sh"],
            Self::Copy => &["cp"],
        }
    }

    /// What it can do: a stream knows no second run.
    pub(super) const fn runs(self) -> &'static [Run] {
        match self {
            Self::Shardlift | Self::RsyncSsh | Self::RsyncDaemon | Self::Rclone => {
                &[Run::First, Run::Unchanged, Run::Changed]
            }
            Self::TarTls | Self::Copy | Self::Pipeline | Self::PipelineDirect => &[Run::First],
        }
    }
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) contestant: Contestant,
    pub(super) run: Run,
    pub(super) usage: Usage,
    /// What only ours has.
    pub(super) more: Option<More>,
}

/// Figures beside the main one.
#[derive(Debug, Clone, Copy)]
pub(super) enum More {
    /// First run: seconds from its start until the target had begun, and until all was verified there by a second reading.
    First { began: f64, verified: f64 },
    /// Unchanged: seconds of another question on the same kind of connection, and from the start of a target that was killed until it
    /// knew again that it lacks nothing.
    Unchanged { question: f64, restarted: f64 },
}
