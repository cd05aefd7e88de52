pstat -V
