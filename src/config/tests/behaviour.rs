//! For every field of the file the test that shows what it changes (F-139).

use super::known_fields;
use std::path::{Path, PathBuf};

/// Where fields are proven one by one, by their own name in a table: those below this path.
const TABLES: [(&str, &str); 3] = [
    ("clusters.NAME.pools.NAME.", "src/policy/tests/config.rs"),
    ("clusters.NAME.kubernetes.sim.", "src/sim/tests.rs"),
    ("clusters.NAME.", "src/policy/tests/config.rs"),
];

/// The others, each with its test. Servers may stand at the top or in a cluster: both are read by one
/// reader (`one_file_holds_several_clusters_with_servers_of_their_own`).
const TESTS: [(&str, &str); 92] = [
    ("version", "a_bad_value_of_any_field_is_one_error_with_path_value_and_mend"),
    ("listen", "it_listens_where_it_is_told"),
    ("auth.bearer_token", "each_role_may_do_what_it_is_for"),
    ("auth.bearer_token_file", "a_secrets_file_ends_before_its_newline"),
    ("auth.tokens[].role", "each_role_may_do_what_it_is_for"),
    ("auth.tokens[].token", "each_role_may_do_what_it_is_for"),
    ("auth.tokens[].token_file", "a_secrets_file_ends_before_its_newline"),
    ("store.url", "the_configuration_names_the_store"),
    ("store.claim_ttl", "the_claim_is_held_for_its_time"),
    ("store.username", "a_user_of_redis_needs_no_more_than_the_page_says"),
    ("store.password", "a_user_of_redis_needs_no_more_than_the_page_says"),
    ("store.password_file", "a_password_is_renewed_without_a_restart"),
    ("store.sentinel.username", "the_client_follows_the_new_primary"),
    ("store.sentinel.password", "the_client_follows_the_new_primary"),
    ("store.sentinel.password_file", "a_secrets_file_ends_before_its_newline"),
    ("store.ca_file", "redis_is_spoken_to_over_tls_with_certificates_of_both_sides"),
    ("store.client_cert_file", "redis_is_spoken_to_over_tls_with_certificates_of_both_sides"),
    ("store.timeout", "a_redis_that_hangs_is_away_within_the_limit_and_comes_back"),
    ("store.history.entries", "history_is_kept_as_long_and_as_much_as_it_is_told"),
    ("store.history.age", "history_is_kept_as_long_and_as_much_as_it_is_told"),
    ("reconcile.interval", "quiet_passes_come_at_the_interval"),
    ("reconcile.busy_interval", "passes_come_sooner_while_a_worker_is_on_its_way"),
    ("reconcile.overdue", "a_process_whose_pass_is_overdue_leaves_its_claim_to_another"),
    ("log.format", "log_lines_have_the_form_and_the_level_of_the_file"),
    ("log.level", "log_lines_have_the_form_and_the_level_of_the_file"),
    ("shutdown_grace", "a_stop_waits_for_what_hangs_no_longer_than_its_grace"),
    ("SERVER.urls", "every_address_of_a_name_is_a_peer_and_asked_under_its_name"),
    ("SERVER.bearer_token", "credentials_and_headers_are_sent"),
    ("SERVER.bearer_token_file", "a_secrets_file_ends_before_its_newline"),
    ("SERVER.basic.username", "credentials_and_headers_are_sent"),
    ("SERVER.basic.password", "credentials_and_headers_are_sent"),
    ("SERVER.basic.password_file", "a_secrets_file_ends_before_its_newline"),
    ("SERVER.headers.NAME", "credentials_and_headers_are_sent"),
    ("SERVER.headers.NAME_file", "a_secrets_file_ends_before_its_newline"),
    ("SERVER.ca_file", "tls_is_verified_and_certificates_are_shown"),
    ("SERVER.client_cert_file", "tls_is_verified_and_certificates_are_shown"),
    ("SERVER.timeout", "a_server_that_is_silent_is_given_up_at_the_limit"),
    ("SERVER.receiver", "our_receiver_is_asked_for_by_an_expression_that_matches_nothing_else"),
    ("SERVER.repeat_max", "a_repeat_above_five_minutes_is_reported_with_what_was_found"),
    ("SERVER.ttl_slack", "the_ttl_is_the_largest_period_and_slack_or_the_configured_one"),
    ("SERVER.scrape_interval", "samples_older_than_three_scrape_intervals_are_stale"),
    (
        "clusters.NAME.accept_unlabelled",
        "an_unlabelled_alert_goes_to_the_one_cluster_that_takes_it",
    ),
    ("clusters.NAME.mode", "a_pool_takes_the_mode_of_its_cluster"),
    (
        "clusters.NAME.kubernetes.in_cluster",
        "a_cluster_is_the_one_we_run_in_one_of_a_file_or_simulated",
    ),
    ("clusters.NAME.kubernetes.kubeconfig", "what_the_cluster_has_is_seen_and_so_is_each_change"),
    (
        "clusters.NAME.kubernetes.context",
        "what_we_may_not_see_is_unknown_and_says_which_until_we_may",
    ),
    ("clusters.NAME.kubernetes.sim.listen", "killed_after_a_signal_is_stored_it_acts_once"),
    ("clusters.NAME.kubernetes.sim.state", "a_world_in_a_file_goes_on_where_it_was"),
    (
        "clusters.NAME.pools.NAME.drain.when_removed",
        "one_that_asked_for_it_is_drained_a_step_at_a_time",
    ),
    (
        "clusters.NAME.pools.NAME.provider.docker.server",
        "a_container_is_an_agent_within_its_shape_that_joins_as_its_worker",
    ),
    (
        "clusters.NAME.pools.NAME.provider.docker.token_file",
        "a_container_is_an_agent_within_its_shape_that_joins_as_its_worker",
    ),
    (
        "clusters.NAME.pools.NAME.provider.docker.shapes[].cpu",
        "a_container_is_an_agent_within_its_shape_that_joins_as_its_worker",
    ),
    (
        "clusters.NAME.pools.NAME.provider.docker.shapes[].memory",
        "a_container_is_an_agent_within_its_shape_that_joins_as_its_worker",
    ),
    (
        "clusters.NAME.pools.NAME.provider.docker.shapes[].pods",
        "a_container_is_an_agent_within_its_shape_that_joins_as_its_worker",
    ),
    (
        "clusters.NAME.pools.NAME.provider.docker.args",
        "a_container_is_an_agent_within_its_shape_that_joins_as_its_worker",
    ),
    (
        "clusters.NAME.pools.NAME.provider.docker.env.NAME",
        "a_container_is_an_agent_within_its_shape_that_joins_as_its_worker",
    ),
    (
        "clusters.NAME.pools.NAME.provider.docker.tmpfs",
        "a_container_is_an_agent_within_its_shape_that_joins_as_its_worker",
    ),
    (
        "clusters.NAME.pools.NAME.provider.docker.privileged",
        "a_container_is_an_agent_within_its_shape_that_joins_as_its_worker",
    ),
    (
        "clusters.NAME.pools.NAME.provider.docker.cap_add",
        "a_container_is_an_agent_within_its_shape_that_joins_as_its_worker",
    ),
    (
        "clusters.NAME.pools.NAME.provider.docker.security_opt",
        "a_container_is_an_agent_within_its_shape_that_joins_as_its_worker",
    ),
    (
        "clusters.NAME.pools.NAME.provider.docker.binds",
        "a_container_is_an_agent_within_its_shape_that_joins_as_its_worker",
    ),
    (
        "clusters.NAME.pools.NAME.provider.docker.image",
        "an_image_that_is_not_there_is_being_pulled_and_then_told_why_not",
    ),
    (
        "clusters.NAME.pools.NAME.provider.docker.shapes[].name",
        "containers_keep_what_every_provider_keeps",
    ),
    (
        "clusters.NAME.pools.NAME.provider.docker.shapes[].price_per_hour",
        "a_shape_is_offered_where_a_machine_holds_it",
    ),
    (
        "clusters.NAME.pools.NAME.provider.docker.hosts.NAME.url",
        "a_docker_that_is_away_makes_the_list_unknown_and_sells_nothing",
    ),
    (
        "clusters.NAME.pools.NAME.provider.docker.hosts.NAME.ca_file",
        "a_docker_is_reached_over_the_network_with_certificates_of_both_sides",
    ),
    (
        "clusters.NAME.pools.NAME.provider.docker.hosts.NAME.client_cert_file",
        "a_docker_is_reached_over_the_network_with_certificates_of_both_sides",
    ),
    ("clusters.NAME.pools.NAME.provider.docker.network", "what_cannot_start_leaves_nothing_behind"),
    (
        "clusters.NAME.pools.NAME.provider.docker.volumes",
        "an_end_takes_the_volumes_along_and_leaves_others_alone",
    ),
    (
        "clusters.NAME.pools.NAME.provider.docker.parallel",
        "no_more_are_made_at_once_than_the_file_says",
    ),
    (
        "clusters.NAME.pools.NAME.provider.docker.pull_timeout",
        "an_image_that_does_not_come_in_time_is_given_up",
    ),
    (
        "clusters.NAME.pools.NAME.provider.ec2.launch_template",
        "a_launch_of_both_markets_is_one_fleet_that_says_from_what_where_and_whose",
    ),
    (
        "clusters.NAME.pools.NAME.provider.ec2.launch_template_version",
        "what_is_missing_is_named_with_its_field",
    ),
    (
        "clusters.NAME.pools.NAME.provider.ec2.shapes",
        "a_launch_of_both_markets_is_one_fleet_that_says_from_what_where_and_whose",
    ),
    (
        "clusters.NAME.pools.NAME.provider.ec2.subnets",
        "a_launch_of_both_markets_is_one_fleet_that_says_from_what_where_and_whose",
    ),
    (
        "clusters.NAME.pools.NAME.provider.ec2.tags.NAME",
        "a_launch_of_both_markets_is_one_fleet_that_says_from_what_where_and_whose",
    ),
    (
        "clusters.NAME.pools.NAME.provider.ec2.spot",
        "seven_of_ten_are_spot_where_the_share_is_seventy_percent",
    ),
    ("clusters.NAME.pools.NAME.provider.ec2.image", "one_shape_and_an_image_need_no_template"),
    (
        "clusters.NAME.pools.NAME.provider.ec2.security_groups",
        "one_shape_and_an_image_need_no_template",
    ),
    (
        "clusters.NAME.pools.NAME.provider.ec2.instance_profile",
        "one_shape_and_an_image_need_no_template",
    ),
    ("clusters.NAME.pools.NAME.provider.ec2.user_data_file", "user_data_is_what_the_file_holds"),
    (
        "clusters.NAME.pools.NAME.provider.ec2.memory_overhead",
        "a_shape_is_what_its_type_has_and_is_sold_where_the_subnets_are",
    ),
    (
        "clusters.NAME.pools.NAME.provider.ec2.max_pods",
        "a_shape_is_what_its_type_has_and_is_sold_where_the_subnets_are",
    ),
    ("clusters.NAME.pools.NAME.provider.ec2.parameters", "what_is_missing_is_named_with_its_field"),
    (
        "clusters.NAME.pools.NAME.provider.ec2.endpoint",
        "a_pool_that_has_all_it_needs_is_well_and_nothing_is_bought",
    ),
    (
        "clusters.NAME.pools.NAME.provider.ec2.region",
        "a_call_is_signed_for_the_region_and_as_the_role_that_the_file_names",
    ),
    (
        "clusters.NAME.pools.NAME.provider.ec2.assume_role",
        "a_call_is_signed_for_the_region_and_as_the_role_that_the_file_names",
    ),
    (
        "clusters.NAME.pools.NAME.provider.exec.program",
        "a_program_that_ends_badly_is_told_with_its_last_words",
    ),
    (
        "clusters.NAME.pools.NAME.provider.exec.args",
        "a_launch_says_all_there_is_to_know_in_one_line",
    ),
    (
        "clusters.NAME.pools.NAME.provider.exec.env",
        "its_environment_is_clean_but_for_what_is_named",
    ),
    (
        "clusters.NAME.pools.NAME.provider.exec.options.NAME",
        "a_launch_says_all_there_is_to_know_in_one_line",
    ),
    (
        "clusters.NAME.pools.NAME.provider.sim.unnamed",
        "machines_without_names_are_known_by_their_batch_and_run_their_nodes",
    ),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// The name under which a field's test is listed: servers alike.
fn listed_as(field: &str) -> String {
    let below = field.strip_prefix("clusters.NAME.").unwrap_or(field);
    match below.split_once('.') {
        Some(("alertmanager" | "prometheus", rest)) => format!("SERVER.{rest}"),
        _ => field.to_owned(),
    }
}

fn is_in_a_table(field: &str) -> bool {
    let in_cluster = field.replacen("alertmanager.", "clusters.NAME.alertmanager.", 1);
    let field = if field.starts_with("alertmanager.") { &in_cluster } else { field };
    TABLES.iter().any(|(above, file)| {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        field.strip_prefix(above).is_some_and(|name| text.contains(&format!("(\"{name}\", ")))
    })
}

#[test]
fn every_field_has_a_test_that_shows_what_it_changes() {
    let mut code = String::new();
    sources(&root().join("src"), &mut code);
    sources(&root().join("tests"), &mut code);
    for field in known_fields() {
        let listed = TESTS.iter().find(|(name, _)| *name == listed_as(&field));
        match listed {
            Some((_, test)) => assert!(code.contains(&format!("fn {test}(")), "{field}: no {test}"),
            None => assert!(is_in_a_table(&field), "no test shows what {field} changes"),
        }
    }
}
