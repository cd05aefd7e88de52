//! The attributes of a job that we use.

/// One of them, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attribute {
    Name,
    Owner,
    State,
    Queue,
    Comment,
    Holds,
    Depend,
    ExecHost,
    ArrayId,
    Own,
    ArrayRequest,
    Throttle,
    Exit,
    Substate,
    Submitted,
    Modified,
    Started,
    Ended,
    Stageout,
    History,
    Starts,
    Variables,
    Tag,
    Walltime,
    Mem,
    Cores,
    NodeCount,
    NodeSpec,
    MemUsed,
    CpuTime,
}

impl Attribute {
    /// By its group and name. Each output has fifty for each job: by its length a name is one of a few.
    #[inline]
    pub(crate) fn of(group: &[u8], name: &[u8]) -> Option<Self> {
        Some(match group {
            b"" => match name.len() {
                5 => match name {
                    b"queue" => Self::Queue,
                    b"ctime" => Self::Submitted,
                    b"mtime" => Self::Modified,
                    b"stime" => Self::Started,
                    _ => return None,
                },
                6 => match name {
                    b"depend" => Self::Depend,
                    _ => return None,
                },
                7 => match name {
                    b"comment" => Self::Comment,
                    _ => return None,
                },
                8 => match name {
                    b"Job_Name" => Self::Name,
                    b"array_id" => Self::ArrayId,
                    b"substate" => Self::Substate,
                    b"obittime" => Self::Ended,
                    _ => return None,
                },
                9 => match name {
                    b"Job_Owner" => Self::Owner,
                    b"job_state" => Self::State,
                    b"exec_host" => Self::ExecHost,
                    b"comp_time" => Self::Ended,
                    b"run_count" => Self::Starts,
                    _ => return None,
                },
                10 => match name {
                    b"Hold_Types" => Self::Holds,
                    b"start_time" => Self::Started,
                    _ => return None,
                },
                11 => match name {
                    b"array_index" => Self::Own,
                    b"Exit_status" => Self::Exit,
                    b"exit_status" => Self::Exit,
                    b"start_count" => Self::Starts,
                    _ => return None,
                },
                12 => match name {
                    b"job_array_id" => Self::Own,
                    _ => return None,
                },
                13 => match name {
                    b"Variable_List" => Self::Variables,
                    _ => return None,
                },
                15 => match name {
                    b"max_run_subjobs" => Self::Throttle,
                    b"Stageout_status" => Self::Stageout,
                    _ => return None,
                },
                17 => match name {
                    b"job_array_request" => Self::ArrayRequest,
                    b"history_timestamp" => Self::History,
                    _ => return None,
                },
                _ => return None,
            },
            b"Resource_List" => match name {
                b"walltime" => Self::Walltime,
                b"mem" => Self::Mem,
                b"ncpus" => Self::Cores,
                b"procs" => Self::Cores,
                b"nodes" => Self::NodeSpec,
                b"nodect" => Self::NodeCount,
                _ => return None,
            },
            b"resources_used" => match name {
                b"mem" => Self::MemUsed,
                b"cput" => Self::CpuTime,
                _ => return None,
            },
            b"Variable_List" if name == b"CLUSTER_TAG" => Self::Tag,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_where_its_length_is() {
        let names = [
            ("Job_Name", Attribute::Name),
            ("Job_Owner", Attribute::Owner),
            ("job_state", Attribute::State),
            ("queue", Attribute::Queue),
            ("comment", Attribute::Comment),
            ("Hold_Types", Attribute::Holds),
            ("depend", Attribute::Depend),
            ("exec_host", Attribute::ExecHost),
            ("array_id", Attribute::ArrayId),
            ("array_index", Attribute::Own),
            ("job_array_id", Attribute::Own),
            ("job_array_request", Attribute::ArrayRequest),
            ("max_run_subjobs", Attribute::Throttle),
            ("Exit_status", Attribute::Exit),
            ("exit_status", Attribute::Exit),
            ("substate", Attribute::Substate),
            ("ctime", Attribute::Submitted),
            ("mtime", Attribute::Modified),
            ("stime", Attribute::Started),
            ("start_time", Attribute::Started),
            ("obittime", Attribute::Ended),
            ("comp_time", Attribute::Ended),
            ("Stageout_status", Attribute::Stageout),
            ("history_timestamp", Attribute::History),
            ("run_count", Attribute::Starts),
            ("start_count", Attribute::Starts),
            ("Variable_List", Attribute::Variables),
        ];
        for (name, attribute) in names {
            assert_eq!(Attribute::of(b"", name.as_bytes()), Some(attribute), "{name}");
            assert_eq!(Attribute::of(b"", name.to_ascii_uppercase().as_bytes()), None, "{name}");
        }
        assert_eq!(Attribute::of(b"Resource_List", b"mem"), Some(Attribute::Mem));
        assert_eq!(Attribute::of(b"resources_used", b"mem"), Some(Attribute::MemUsed));
        assert_eq!(Attribute::of(b"", b"mem"), None);
    }
}
