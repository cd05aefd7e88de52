-- Which store this is: one made anew at the same path gives the same ids to other jobs. One row.
CREATE TABLE store (id TEXT NOT NULL) STRICT;
INSERT INTO store SELECT lower(hex(randomblob(16)));

PRAGMA user_version = 2;
