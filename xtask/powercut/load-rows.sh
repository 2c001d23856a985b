#!/bin/bash
# A database that takes rows, each in a transaction of its own. After each commit the number of the
# row goes to one of two files, /run/vm/acks/rows.0 and .1, so that one of them is always whole.
set -euo pipefail
base=/mnt/data/rows.db
modes=(DELETE WAL TRUNCATE PERSIST)
sqlite3 $base 'CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, body TEXT);
    CREATE TABLE IF NOT EXISTS total (rows INTEGER);
    INSERT INTO total SELECT 0 WHERE NOT EXISTS (SELECT * FROM total);'
id=$(sqlite3 $base 'SELECT coalesce(max(id), 0) FROM rows;')
{
    # EXTRA: in mode DELETE, FULL leaves it open whether the end of a transaction is durable
    echo "PRAGMA journal_mode = ${modes[$(($1 % 4))]}; PRAGMA synchronous = EXTRA;"
    echo "PRAGMA wal_autocheckpoint = 40;"
    while true; do
        id=$((id + 1))
        echo "BEGIN; INSERT INTO rows VALUES ($id, printf('%d %.*c', $id, $id * 37 % 1500, 'x'));"
        echo "UPDATE total SET rows = rows + 1; COMMIT;"
        echo ".once /run/vm/acks/rows.$((id % 2))"
        echo "SELECT $id;"
    done
} | sqlite3 -bail $base
