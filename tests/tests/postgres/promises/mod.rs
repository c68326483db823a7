//! The twelve promises on three hosts: a service in a process of its own on each, one database, and
//! every sender a process of its own as well. What runs beside what is told by kernel locks.
//!
//! | promise | on several hosts | shown by |
//! |---|---|---|
//! | 1. no stale lock | a limit of concurrency that a lost machine held is free again | `lost::the_next_job_starts_when_a_machine_is_lost`, `leases`, `storm` |
//! | 2. waiting is free of the run budget | as on one | `order::waiting_is_free_of_the_run_budget` |
//! | 3. FIFO | whoever sends, and wherever it runs | `order::jobs_of_all_hosts_start_in_order` |
//! | 4. the whole tree dies | before the job runs elsewhere, and at a word from elsewhere | `lost::the_whole_tree_of_a_service_that_…` (two) |
//! | 5. arguments arrive as sent | through the database, by SQL too | `record::arguments_arrive_as_sent` |
//! | 6. every run counts | of any host, by schedule and by SQL too | `limits::every_run_of_any_host_counts`, `limits::a_tick_is_run_once_over_all_hosts` |
//! | 7. the queue limit is atomic | over senders of all hosts | `limits::fifty_processes_of_three_hosts_keep_to_the_limit`, `enqueue::fifty_connections_…` |
//! | 8. no process sits waiting | on no host | `order::no_process_sits_waiting_anywhere` |
//! | 9. everything is on record | read on another host than it ran on | `record::everything_is_on_record_elsewhere` |
//! | 10. names are exact | spellings of all hosts and of SQL | `limits::spellings_of_all_hosts_are_one_dispatcher` |
//! | 11. a submitter may die | with its whole machine | `lost::a_submitter_may_die…` (two) |
//! | 12. refused means unchanged | for all hosts and SQL | `limits::refused_means_unchanged` |

mod limits;
mod lost;
mod order;
mod record;
