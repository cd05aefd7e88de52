pstat -x
