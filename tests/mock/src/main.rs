//! Mock schedulers: one program that is `sbatch`, `qsub` … by the name it is called by.

fn main() {}
