package main

// metricNotes are what an operator may want to know beside the help text.
var metricNotes = map[string]string{
	"holdfast_ready":                                           "Not ready for longer than an election takes is worth a look: see the check that fails in holdfast_ready_check.",
	"holdfast_http_problems_total":                             "no_leader and stale_node tell of the cluster, rate_limited and session_invalid of the callers.",
	"holdfast_http_keys_info":                                  "Two digests among the nodes: a node was not told to reload.",
	"holdfast_cluster_write_pause_seconds":                     "From the first question to the leader that failed to the next that was answered. A node asks ten times a second, so that shorter pauses may be missed on an idle node.",
	"holdfast_cluster_write_pause_seconds_total":               "rate() of it is the share of time without a leader.",
	"holdfast_cluster_leader_changes_total":                    "A restart or a drain of the leader makes one or two; many more mean a slow disk or network.",
	"holdfast_cluster_commit_duration_seconds":                 "On a follower with the way to the leader and back.",
	"holdfast_cluster_log_append_duration_seconds":             "Every write waits for it on a majority: if it grows, so does everything.",
	"holdfast_cluster_freshness_age_seconds":                   "About 0.1 as a rule; above --max-staleness local reads are refused.",
	"holdfast_cluster_failure_tolerance":                       "0 means that the next loss stops all writes.",
	"holdfast_cluster_member_state_hash_differs":               "1 is never right: see the runbook.",
	"holdfast_cluster_feature_level":                           "Below feature_level_known of the newest node while an upgrade is under way.",
	"holdfast_cluster_forwarded_commands_total":                "A node that is not the leader forwards all its writes.",
	"holdfast_cluster_batch_commands":                          "Near 1 there is little load; near 512 the disks are the limit.",
	"holdfast_cluster_states_sent_total":                       "Each is the whole state over the network; often means that --trailing-bytes is too small for how long nodes are away.",
	"holdfast_cluster_certificate_not_after_timestamp_seconds": "Less than ten days ahead: the clock is wrong, as it is renewed before.",
	"holdfast_sweeper_oldest_due_seconds":                      "About --sweep-interval at most; no reader sees a session that waits.",
	"holdfast_touches_lost_total":                              "Each costs a session at most --touch-interval of its idle time.",
	"holdfast_events_longest_queue":                            "At 1024 that stream is ended, and its reader resumes.",
	"holdfast_storage_durable_index":                           "applied_index minus this one grows if flushes do not keep up.",
	"holdfast_storage_file_free_pages":                         "Many of them: the file is larger than its content, and reuses them.",
	"holdfast_disk_low":                                        "Logouts and deletes still pass.",
	"holdfast_scrub_failures_total":                            "The node that counts one stops; the alert looks at it before that, and at missing successes.",
}
