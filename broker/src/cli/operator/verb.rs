//! What an operator can ask for, and the flags of each verb.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// The broker that is asked, and as whom.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Broker")]
pub(crate) struct Access {
    /// Where its HTTP API answers.
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "LEVERET_MANAGEMENT",
        default_value = "127.0.0.1:15672"
    )]
    pub(crate) management: String,
    /// Who asks.
    #[arg(
        id = "asking_user",
        long = "user",
        value_name = "NAME",
        env = "LEVERET_USER",
        default_value = "guest"
    )]
    pub(crate) user: String,
    /// The password, better given in the environment: other users of this machine can see a
    /// command line.
    #[arg(
        id = "asking_password",
        long = "password",
        value_name = "PASSWORD",
        env = "LEVERET_PASSWORD",
        default_value = "guest",
        hide_env_values = true,
        hide_default_value = true
    )]
    pub(crate) password: String,
    /// The virtual host.
    #[arg(short = 'p', long = "vhost", value_name = "VHOST", default_value = "/")]
    pub(crate) virtual_host: String,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Formatter::Table)]
    pub(crate) formatter: Formatter,
    /// The same as `--formatter json`.
    #[arg(long)]
    pub(crate) json: bool,
    /// Say nothing but what was asked for.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// As --quiet, and without a line of column names.
    #[arg(short, long)]
    pub(crate) silent: bool,
    /// Seconds that the broker may take to answer.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) timeout: u64,
    /// Ignored: there is one node.
    #[arg(short, long, hide = true)]
    node: Option<String>,
}

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Formatter {
    /// A line each, columns divided by tabs.
    Table,
    /// With lines around.
    #[value(alias = "pretty_table")]
    PrettyTable,
    /// An array of objects.
    Json,
    /// Comma-separated values.
    Csv,
}

impl Access {
    pub(crate) fn formatter(&self) -> Formatter {
        if self.json {
            Formatter::Json
        } else {
            self.formatter
        }
    }
}

/// A verb's own flags, and which broker it goes to.
#[derive(Debug, Args)]
pub(crate) struct Ask<T: Args> {
    #[command(flatten)]
    pub(crate) what: T,
    #[command(flatten)]
    pub(crate) access: Access,
}

/// Columns of a list.
#[derive(Debug, Args)]
pub(crate) struct Columns {
    /// Columns to print, as the HTTP API names them (dots lead into objects). With JSON and none
    /// named, whole objects.
    #[arg(value_name = "COLUMN")]
    pub(crate) columns: Vec<String>,
}

/// Nothing.
#[derive(Debug, Args)]
pub(crate) struct Nothing {}

/// The name of one thing.
#[derive(Debug, Args)]
pub(crate) struct Name {
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

/// A user and a password.
#[derive(Debug, Args)]
pub(crate) struct Login {
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Read from standard input if it is not given.
    #[arg(value_name = "PASSWORD")]
    pub(crate) password: Option<String>,
}

/// A password alone.
#[derive(Debug, Args)]
pub(crate) struct Password {
    /// Read from standard input if it is not given.
    #[arg(value_name = "PASSWORD")]
    pub(crate) password: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Tags {
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// administrator, monitoring, policymaker, management, or others; none to take all away.
    #[arg(value_name = "TAG")]
    pub(crate) tags: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct NewVirtualHost {
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// Divided by commas.
    #[arg(long, value_name = "TAGS")]
    pub(crate) tags: Option<String>,
    #[arg(long, value_name = "TYPE")]
    pub(crate) default_queue_type: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Permissions {
    #[arg(value_name = "USER")]
    pub(crate) user: String,
    /// A regular expression on names, searched, not anchored; '' allows nothing.
    #[arg(value_name = "CONFIGURE")]
    pub(crate) configure: String,
    #[arg(value_name = "WRITE")]
    pub(crate) write: String,
    #[arg(value_name = "READ")]
    pub(crate) read: String,
}

#[derive(Debug, Args)]
pub(crate) struct TopicPermissions {
    #[arg(value_name = "USER")]
    pub(crate) user: String,
    #[arg(value_name = "EXCHANGE")]
    pub(crate) exchange: String,
    #[arg(value_name = "WRITE")]
    pub(crate) write: String,
    #[arg(value_name = "READ")]
    pub(crate) read: String,
}

#[derive(Debug, Args)]
pub(crate) struct ClearTopicPermissions {
    #[arg(value_name = "USER")]
    pub(crate) user: String,
    #[arg(value_name = "EXCHANGE")]
    pub(crate) exchange: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Policy {
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// A regular expression on names, searched, not anchored.
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: String,
    /// A JSON object, for example '{"max-length": 1000}'.
    #[arg(value_name = "DEFINITION")]
    pub(crate) definition: String,
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    pub(crate) priority: i64,
    /// all, queues, exchanges, classic_queues or quorum_queues.
    #[arg(long, value_name = "WHAT", default_value = "all")]
    pub(crate) apply_to: String,
}

#[derive(Debug, Args)]
pub(crate) struct Parameter {
    #[arg(value_name = "COMPONENT")]
    pub(crate) component: String,
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// JSON.
    #[arg(value_name = "VALUE")]
    pub(crate) value: String,
}

#[derive(Debug, Args)]
pub(crate) struct ParameterName {
    #[arg(value_name = "COMPONENT")]
    pub(crate) component: String,
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct GlobalParameter {
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// JSON.
    #[arg(value_name = "VALUE")]
    pub(crate) value: String,
}

#[derive(Debug, Args)]
pub(crate) struct Limits {
    /// A JSON object, for example '{"max-connections": 100}'.
    #[arg(value_name = "DEFINITION")]
    pub(crate) definition: String,
}

#[derive(Debug, Args)]
pub(crate) struct UserLimits {
    #[arg(value_name = "USER")]
    pub(crate) user: String,
    /// A JSON object, for example '{"max-channels": 20}'.
    #[arg(value_name = "DEFINITION")]
    pub(crate) definition: String,
}

#[derive(Debug, Args)]
pub(crate) struct ClearUserLimits {
    #[arg(value_name = "USER")]
    pub(crate) user: String,
    /// max-connections, max-channels or all.
    #[arg(value_name = "LIMIT")]
    pub(crate) limit: String,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteQueue {
    #[arg(value_name = "QUEUE")]
    pub(crate) queue: String,
    /// Only if nothing is ready.
    #[arg(short = 'e', long)]
    pub(crate) if_empty: bool,
    /// Only if nobody consumes.
    #[arg(short = 'u', long)]
    pub(crate) if_unused: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Peek {
    #[arg(value_name = "QUEUE")]
    pub(crate) queue: String,
    /// How many messages.
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    pub(crate) count: u32,
    /// How many to pass over first.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) offset: u64,
    /// Those that wait, or those that consumers have in hand.
    #[arg(long, value_name = "STATE", default_value = "ready")]
    pub(crate) state: String,
}

#[derive(Debug, Args)]
pub(crate) struct CloseConnection {
    /// Its name or pid, as list-connections shows it.
    #[arg(value_name = "CONNECTION")]
    pub(crate) connection: String,
    /// What the client is told.
    #[arg(value_name = "REASON", default_value = "Closed by an operator")]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct CloseAll {
    /// What the clients are told.
    #[arg(value_name = "REASON", default_value = "Closed by an operator")]
    pub(crate) reason: String,
    /// Only connections to this virtual host.
    #[arg(long, value_name = "VHOST")]
    pub(crate) of_vhost: Option<String>,
    /// Only connections of this user.
    #[arg(long, value_name = "USER")]
    pub(crate) of_user: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Where to write them; `-` is standard output.
    #[arg(value_name = "FILE", default_value = "-")]
    pub(crate) file: PathBuf,
    /// Those of one virtual host (-p) alone.
    #[arg(long)]
    pub(crate) one_vhost: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Where to read them; `-` is standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    pub(crate) file: PathBuf,
    /// Into one virtual host (-p).
    #[arg(long)]
    pub(crate) one_vhost: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MemoryWatermark {
    /// A part of the memory that the broker may use, such as 0.6; or `absolute` and an amount, such as
    /// 2GB.
    #[arg(value_name = "LIMIT", num_args = 1..=2, required = true)]
    pub(crate) limit: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DiskFreeLimit {
    /// An amount, such as 5GB; or `mem_relative` and how many times the memory that the broker may use.
    #[arg(value_name = "LIMIT", num_args = 1..=2, required = true)]
    pub(crate) limit: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Port {
    #[arg(value_name = "PORT")]
    pub(crate) port: u16,
}

/// What an operator can ask for.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show what the broker is, how it does, and what it holds.
    Status(Ask<Nothing>),
    /// Run every health check. Exits with 1 if one fails.
    #[command(alias = "check_running", alias = "node_health_check")]
    Health(Ask<Nothing>),
    /// Wait until the broker serves.
    #[command(alias = "await_startup", alias = "wait")]
    AwaitStartup(Ask<Nothing>),

    /// List queues of a virtual host.
    #[command(alias = "list_queues")]
    ListQueues(Ask<Columns>),
    /// List exchanges of a virtual host.
    #[command(alias = "list_exchanges")]
    ListExchanges(Ask<Columns>),
    /// List bindings of a virtual host.
    #[command(alias = "list_bindings")]
    ListBindings(Ask<Columns>),
    /// List connections.
    #[command(alias = "list_connections")]
    ListConnections(Ask<Columns>),
    /// List channels.
    #[command(alias = "list_channels")]
    ListChannels(Ask<Columns>),
    /// List consumers of a virtual host.
    #[command(alias = "list_consumers")]
    ListConsumers(Ask<Columns>),
    /// List virtual hosts.
    #[command(alias = "list_vhosts")]
    ListVhosts(Ask<Columns>),
    /// List users.
    #[command(alias = "list_users")]
    ListUsers(Ask<Columns>),
    /// List who may do what in a virtual host.
    #[command(alias = "list_permissions")]
    ListPermissions(Ask<Columns>),
    /// List what a user may do.
    #[command(alias = "list_user_permissions")]
    ListUserPermissions(Ask<Name>),
    /// List topic permissions of a virtual host.
    #[command(alias = "list_topic_permissions")]
    ListTopicPermissions(Ask<Columns>),
    /// List policies of a virtual host.
    #[command(alias = "list_policies")]
    ListPolicies(Ask<Columns>),
    /// List operator policies of a virtual host.
    #[command(alias = "list_operator_policies")]
    ListOperatorPolicies(Ask<Columns>),
    /// List runtime parameters.
    #[command(alias = "list_parameters")]
    ListParameters(Ask<Columns>),
    /// List global parameters.
    #[command(alias = "list_global_parameters")]
    ListGlobalParameters(Ask<Columns>),
    /// List limits of virtual hosts.
    #[command(alias = "list_vhost_limits")]
    ListVhostLimits(Ask<Columns>),
    /// List limits of users.
    #[command(alias = "list_user_limits")]
    ListUserLimits(Ask<Columns>),

    /// Make a virtual host.
    #[command(alias = "add_vhost")]
    AddVhost(Ask<NewVirtualHost>),
    /// Delete a virtual host and everything in it.
    #[command(alias = "delete_vhost")]
    DeleteVhost(Ask<Name>),
    /// Make a user, who may do nothing yet.
    #[command(alias = "add_user")]
    AddUser(Ask<Login>),
    /// Delete a user.
    #[command(alias = "delete_user")]
    DeleteUser(Ask<Name>),
    /// Change a user's password.
    #[command(alias = "change_password")]
    ChangePassword(Ask<Login>),
    /// Try a user's password. Exits with 1 if it is wrong.
    #[command(alias = "authenticate_user")]
    AuthenticateUser(Ask<Login>),
    /// Set what a user may do with the HTTP API.
    #[command(alias = "set_user_tags")]
    SetUserTags(Ask<Tags>),
    /// Let a user into a virtual host.
    #[command(alias = "set_permissions")]
    SetPermissions(Ask<Permissions>),
    /// Take a user's rights in a virtual host away.
    #[command(alias = "clear_permissions")]
    ClearPermissions(Ask<Name>),
    /// Narrow a user's rights on a topic exchange to routing keys.
    #[command(alias = "set_topic_permissions")]
    SetTopicPermissions(Ask<TopicPermissions>),
    /// Take topic permissions away.
    #[command(alias = "clear_topic_permissions")]
    ClearTopicPermissions(Ask<ClearTopicPermissions>),
    /// Set a policy.
    #[command(alias = "set_policy")]
    SetPolicy(Ask<Policy>),
    /// Remove a policy.
    #[command(alias = "clear_policy")]
    ClearPolicy(Ask<Name>),
    /// Set a policy that users cannot exceed.
    #[command(alias = "set_operator_policy")]
    SetOperatorPolicy(Ask<Policy>),
    /// Remove an operator policy.
    #[command(alias = "clear_operator_policy")]
    ClearOperatorPolicy(Ask<Name>),
    /// Set a runtime parameter.
    #[command(alias = "set_parameter")]
    SetParameter(Ask<Parameter>),
    /// Remove a runtime parameter.
    #[command(alias = "clear_parameter")]
    ClearParameter(Ask<ParameterName>),
    /// Set a global parameter.
    #[command(alias = "set_global_parameter")]
    SetGlobalParameter(Ask<GlobalParameter>),
    /// Remove a global parameter.
    #[command(alias = "clear_global_parameter")]
    ClearGlobalParameter(Ask<Name>),
    /// Set limits of a virtual host: max-connections, max-queues.
    #[command(alias = "set_vhost_limits")]
    SetVhostLimits(Ask<Limits>),
    /// Remove the limits of a virtual host.
    #[command(alias = "clear_vhost_limits")]
    ClearVhostLimits(Ask<Nothing>),
    /// Set limits of a user: max-connections, max-channels.
    #[command(alias = "set_user_limits")]
    SetUserLimits(Ask<UserLimits>),
    /// Remove limits of a user.
    #[command(alias = "clear_user_limits")]
    ClearUserLimits(Ask<ClearUserLimits>),

    /// Remove all messages that are ready.
    #[command(visible_alias = "purge", alias = "purge_queue")]
    PurgeQueue(Ask<Name>),
    /// Delete a queue and its messages.
    #[command(alias = "delete_queue")]
    DeleteQueue(Ask<DeleteQueue>),
    /// Show messages, and leave order, flags and counts as they are.
    Peek(Ask<Peek>),
    /// Close a connection; its client is told why.
    #[command(alias = "close_connection")]
    CloseConnection(Ask<CloseConnection>),
    /// Close many connections.
    #[command(alias = "close_all_connections")]
    CloseAllConnections(Ask<CloseAll>),

    /// Change how much memory is too much, until the broker stops. Of Leveret alone.
    #[command(alias = "set_vm_memory_high_watermark")]
    SetVmMemoryHighWatermark(Ask<MemoryWatermark>),
    /// Change how much disk space is too little, until the broker stops. Of Leveret alone.
    #[command(alias = "set_disk_free_limit")]
    SetDiskFreeLimit(Ask<DiskFreeLimit>),
    /// Give the cluster another name.
    #[command(alias = "set_cluster_name")]
    SetClusterName(Ask<Name>),

    /// Write users, rights, queues, exchanges, bindings and policies as JSON.
    #[command(alias = "export_definitions")]
    ExportDefinitions(Ask<Export>),
    /// Read them from such a file, RabbitMQ's too. What exists stays.
    #[command(alias = "import_definitions")]
    ImportDefinitions(Ask<Import>),
    /// Hash a password as definitions hold it. Asks the broker.
    #[command(alias = "hash_password")]
    HashPassword(Ask<Password>),

    /// Exit with 1 if an alarm is in effect.
    #[command(alias = "check_alarms", alias = "check_local_alarms", hide = true)]
    CheckAlarms(Ask<Nothing>),
    /// Exit with 1 if a virtual host is down.
    #[command(alias = "check_virtual_hosts", hide = true)]
    CheckVirtualHosts(Ask<Nothing>),
    /// Exit with 1 if nothing listens on the port.
    #[command(alias = "check_port_listener", hide = true)]
    CheckPortListener(Ask<Port>),
}

/// What `rabbitmqctl` and `rabbitmq-diagnostics` can be asked beside that.
#[derive(Debug, Subcommand)]
pub(crate) enum CtlVerb {
    #[command(flatten)]
    Operator(Verb),
    /// Ask whether the broker answers.
    #[command(alias = "is_running", alias = "check_port_connectivity")]
    Ping(Ask<Nothing>),
}
