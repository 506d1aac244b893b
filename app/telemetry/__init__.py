"""Logs, metrics and traces show operators what happens, and never a secret or what was said.

That is: no password, token, e-mail address or message. The log's events, a line of JSON each,
or of text on a terminal:

| event              | fields                                    | when                            |
|--------------------|-------------------------------------------|---------------------------------|
| `request`          | method, route, status, duration_ms, rows, | each request, once answered;    |
|                    | round_trips, round_trips_user,            | refusals are those of 401, 403  |
|                    | round_trips_general, user_id, actor,      |                                 |
|                    | tenant_id                                 |                                 |
| `request_failed`   | status, error, sqlstate, where            | an answer of 500 or more        |
| `answer_broken_off`| error, sqlstate, where                    | it had begun, as an export's    |
| `statement`        | database, query, duration_ms              | with DB_ECHO; never its values  |
| `listening`        | address                                   | at start                        |
| `worker_ended`     | worker, exit_code                         | by itself; another one follows  |
| `worker_silent`    | worker, seconds                           | it is killed; another follows   |
| `worker_not_renewed`| kept, failed                             | on SIGHUP; the old one goes on  |
| `database_away`    | database, error, reason                   | at start or asked for health    |
| `database_silent`  | database, waiting                         | 503 at once until it answers    |
| `database_answers` | database                                  | after it was silent             |
| `connections_forgotten`| database, waiting                     | by the line; others replace them|
| `relay_waits`      | seconds, error, sqlstate, where           | a database the relay needs away |
| `relay_deaf`       | error, sqlstate, where                    | no notifications: it only polls |
| `erasure_completed`| user_id, seconds                          | receipt written and acknowledged|
| `erasure_lag_unknown`| users, error, sqlstate, where           | done, a figure is missing       |
| `erasure_failed`   | user_id, error, sqlstate, where           | and will be tried again, later  |
| `erasures_failed`  | users, error, sqlstate, where             | together; each is tried alone   |
| `erasure_handed_on`| user_id, reason                           | its turn or its lease was over  |
| `erasure_held`     | user_id                                   | a legal hold: tried again, later|
| `hold_delivered`   | user_id, is_held                          | in force, or lifted            |
| `hold_failed`      | user_id, error, sqlstate, where           | and will be tried again        |
| `holds_wait`       | error, sqlstate, where                    | a database for holds is away   |
| `unreadable`       | table, ids                                | sealed, and cannot be opened    |
| `retention_swept`  | tenant_id, chat_sessions, messages, seconds| these were kept long enough    |
| `retention_failed` | tenant_id, error, sqlstate, where         | and is done again by a sweep    |
| `expiry_failed`    | database, error, sqlstate, where          | what expired goes next time     |
| `export_revoked`   | user_id, actor, subject_id, reason        | and the answer is broken off    |
| `database_restored`| database, time                            | commits of then are lost        |
| `heartbeat_failed` | error, sqlstate, where                    | and is tried again              |
| `databases_differ` | count, kinds                              | reconcile found differences     |
| `reconcile_failed` | error, sqlstate, where                    | and is tried again, later       |
| `login_refused`    | reason, account, address                  | account and address as digests  |

Each has `timestamp` and `level`, and within a request its `request_id`, which the answer bears as
`X-Request-Id`, and the `trace_id` of a request that came with a `traceparent`. What libraries log
has `logger` in addition, and their sentence as `event`.

Metrics are in metrics.py and erasure/metrics.py, spans in traces.py.
"""

from app.telemetry.logs import log

__all__ = ("log",)
