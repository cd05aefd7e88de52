//! The configuration files of the real Slurm.

use super::Limits;
use super::place::Place;

/// The nodes. The gap is there so that lists of them are folded with a comma: `node[1-3,5]`.
pub(crate) const NODES: [&str; 4] = ["node1", "node2", "node3", "node5"];

/// Its name for itself.
pub(crate) const CLUSTER: &str = "testhpc";

/// How many ports it takes: database, accounting, controller and the nodes.
pub(crate) const PORTS: u16 = 3 + NODES.len() as u16;

/// What the files are made of.
#[derive(Debug)]
pub(crate) struct Conf<'a> {
    pub(crate) place: &'a Place,
    pub(crate) host: &'a str,
    pub(crate) ports: u16,
    pub(crate) limits: Limits,
}

impl Conf<'_> {
    pub(crate) fn database_port(&self) -> u16 {
        self.ports
    }

    pub(crate) fn accounting_port(&self) -> u16 {
        self.ports + 1
    }

    pub(crate) fn controller_port(&self) -> u16 {
        self.ports + 2
    }

    /// `slurm.conf`.
    pub(crate) fn slurm(&self) -> String {
        let Self { place, host, limits, .. } = self;
        let (dir, limits) = (place.dir().display(), limits.name());
        let (controller, accounting) = (self.controller_port(), self.accounting_port());
        let mut text = format!(
            "\
ClusterName={CLUSTER}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={dir}/munge/socket
CredType=cred/munge
StateSaveLocation={dir}/state
SlurmdSpoolDir={dir}/spool/%n
SlurmctldPidFile={dir}/run/slurmctld.pid
SlurmdPidFile={dir}/run/slurmd-%n.pid
SlurmctldLogFile={dir}/log/slurmctld.log
SlurmdLogFile={dir}/log/slurmd-%n.log
SlurmctldDebug=info
SlurmdDebug=info
# Bound to the addresses named here. (slurmdbd cannot be told.)
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
# Nothing of /etc.
PlugStackConfig={dir}/etc/plugstack.conf
# No cgroups: it works in containers and under any init.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
# What enforces --mem without cgroups. It cancels the job; it does not say OUT_OF_MEMORY.
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
MpiDefault=none
SwitchType=switch/none
# The nodes claim more cores and memory than the machine has.
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
# Short: tests wait for them.
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,sched_min_interval=100000,default_queue_depth=5000,bf_max_job_test=5000
PriorityType=priority/basic
EnforcePartLimits={limits}
DefMemPerCPU=200
MaxArraySize=2001
MaxJobCount=20000
MinJobAge=10
KillWait=2
MessageTimeout=5
InactiveLimit=0
ReturnToService=2
SlurmctldTimeout=60
# Long: a busy machine must not look like a lost node.
SlurmdTimeout=120
BatchStartTimeout=60
JobRequeue=1
RebootProgram=/bin/false
MailProg=/bin/true
GresTypes=gpu
Licenses=lic:2
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={accounting}
# No password: this link takes the path of munge's socket from here, not from AuthInfo.
AccountingStoragePass={dir}/munge/socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
"
        );
        for ((i, node), port) in NODES.iter().enumerate().zip(self.controller_port() + 1..) {
            let gres = if *node == "node5" { " Gres=gpu:2" } else { "" };
            text.push_str(&format!(
                "NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 Boards=1 SocketsPerBoard=1 \
                 CoresPerSocket=4 ThreadsPerCore=1 RealMemory=8000 TmpDisk=0 Weight={}{gres} State=UNKNOWN\n",
                i + 1
            ));
        }
        text.push_str(PARTITIONS);
        text
    }

    /// `slurmdbd.conf`. The host is a number: the client library takes `localhost` for a socket that is not ours.
    pub(crate) fn accounting(&self, password: &str) -> String {
        let Self { place, host, .. } = self;
        let dir = place.dir().display();
        let (port, database) = (self.accounting_port(), self.database_port());
        format!(
            "\
AuthType=auth/munge
AuthInfo=socket={dir}/munge/socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
PidFile={dir}/run/slurmdbd.pid
LogFile={dir}/log/slurmdbd.log
DebugLevel=info
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm_acct_db
"
        )
    }
}

const PARTITIONS: &str = "\
PartitionName=debug Nodes=node[1-3,5] Default=YES MaxTime=00:30:00 DefaultTime=00:10:00 MaxMemPerNode=4000 State=UP
PartitionName=short Nodes=node[1-3] MaxTime=00:02:00 DefaultTime=00:01:00 MaxMemPerCPU=1000 MaxNodes=2 State=UP
PartitionName=long Nodes=node[1-3,5] MaxTime=UNLIMITED DefaultTime=1-00:00:00 State=UP
PartitionName=gpu Nodes=node5 MaxTime=7-00:00:00 DefaultTime=01:00:00 State=UP
PartitionName=maint Nodes=node5 MaxTime=01:00:00 Hidden=NO State=DOWN
";

/// A GPU is counted by its device files; nothing opens these.
pub(crate) const GRES: &str =
    "AutoDetect=off\nNodeName=node5 Name=gpu File=/dev/null\nNodeName=node5 Name=gpu File=/dev/zero\n";

/// slurmd loads a cgroup plugin even where nothing uses one; this one needs neither a mount nor systemd.
pub(crate) const CGROUP: &str = "CgroupPlugin=cgroup/v1\n";
