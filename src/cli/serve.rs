//! `piecemeal serve`.

mod arguments;
mod confine;
mod limits;
mod start;
mod words;

use std::sync::Arc;

use piecemeal::observe::{Counters, LineQueue, LineSender};
use piecemeal::proto::text::escaped;
use piecemeal::server::{Ended, Workers};
use piecemeal::store::FolderStore;
use piecemeal::store::folder::Partials;

use super::json::serve::JsonTeller;
use super::log_rate_limit::LogRateLimit;
use super::reread::Origin;
use super::teller::Teller;
use super::units::{Limit, show_duration};
use super::{Exit, journal, logging, tell};
pub(super) use arguments::{Arguments, OnConflict};
use start::{Failure, Prepared};
use words::last_line;

pub(super) fn run(arguments: Arguments, origin: Origin) -> Exit {
    let counters = Arc::new(Counters::default());
    // Their threads come last: what the process gives up is given up before there are any.
    let out = LineQueue::new(Arc::clone(&counters));
    let err = LineQueue::new(Arc::clone(&counters));
    let (quiet, verbose) = (arguments.quiet, arguments.verbose);
    logging::start_as(arguments.log_format, quiet, verbose, err.sender());
    let lines = arguments.log_format.of_lines(err.sender());
    if arguments.json.json && arguments.tracing.is_printed() {
        tell("piecemeal: --trace prints what is no JSON: use --trace-file with --json");
        return Exit::Usage;
    }
    if arguments.workers > 1 && arguments.tracing.is_wanted() {
        tell("piecemeal: --trace, --trace-file and -vv watch one loop: leave --workers out");
        return Exit::Usage;
    }
    let prepared = start::prepare(&arguments, &origin);
    let out = out.start("stdout", std::io::stdout());
    let err = err.start("stderr", std::io::stderr());
    let (Ok(out), Ok(err)) = (out, err) else {
        tell("piecemeal: can't start a thread");
        return Exit::Other;
    };
    let served = prepared.and_then(|prepared| {
        let served = serve(&arguments, origin, prepared, &out.sender(), &lines);
        served.map_err(Failure::from)
    });
    let exit = served.unwrap_or_else(|failure| {
        lines.line(format!("piecemeal: {failure}"));
        failure.exit()
    });
    let dropped = counters.dropped_lines.get();
    if dropped > 0 {
        lines.line(format!(
            "{dropped} lines were dropped, since nobody read them"
        ));
    }
    out.finish();
    err.finish();
    exit
}

/// Serves with what is there: nothing here needs a right that was given up.
fn serve(
    arguments: &Arguments,
    origin: Origin,
    prepared: Prepared,
    out: &LineSender,
    err: &LineSender,
) -> std::io::Result<Exit> {
    let durability = arguments.durability.into();
    let Prepared {
        listening,
        journal,
        tracing,
        hooks,
        confined,
    } = prepared;
    let mut kept = "";
    let mut space = limits::SpaceLimits::new(&arguments.whole);
    let partials = Partials::kept_for(arguments.partial_ttl.0);
    let mut workers = Workers::of(listening, || {
        let mut store = FolderStore::open_with(&arguments.dir, durability, &partials)?;
        space.limit(&mut store)?;
        if arguments.keep_metadata {
            store.keep_metadata()?;
        }
        kept = store.description();
        if let Some(journal) = &journal {
            store.set_journal(Arc::clone(journal));
        }
        Ok(store)
    })?;
    journal::listen(journal, &mut workers)?;
    let hooks = hooks.start()?;
    let json = arguments.json.json.then(|| JsonTeller(out.clone()));
    let tracing = tracing.start(out)?;
    origin.begin(&mut workers, err)?;
    tracing.watch(workers.first());
    let addresses = workers.first().addresses().to_vec();
    for address in &addresses {
        err.line(format!("listening on {address}"));
        if let Some(json) = &json {
            json.listening(address);
        }
    }
    if !arguments.quiet {
        for address in &addresses {
            err.line(arguments.client_command(address));
        }
        let connections = workers.connections();
        err.line(format!(
            "storing into {}; {kept}",
            escaped(arguments.dir.as_os_str().as_encoded_bytes())
        ));
        err.line(
            limits::Limits {
                arguments,
                connections: connections.most,
                used: space.used(),
            }
            .to_string(),
        );
        if let Limit(Some(asked)) = arguments.max_connections
            && !connections.as_asked
        {
            let (most, limit) = (connections.most, connections.descriptors);
            err.line(format!("warning: {asked} connections need two descriptors each, and the limit is {limit}; taking {most} (ulimit -n raises it)"));
        }
    }
    confined.tell(arguments.quiet, err);
    for address in addresses.iter().filter(|address| !address.is_local()) {
        err.line(format!("warning: {address} can be reached from other machines, and whoever reaches it can store files"));
    }
    let teller = Arc::new(Teller {
        out: out.clone(),
        err: err.clone(),
        quiet: arguments.quiet,
        patience: show_duration(arguments.shutdown_timeout),
        failures: LogRateLimit::default(),
    });
    let listener = hooks.listener();
    let (told, people) = (json.clone(), Arc::clone(&teller));
    workers.on_event(move |event| {
        match &told {
            Some(json) => json.tell(event, &people),
            None => people.tell(event),
        }
        listener.hear(event);
    });
    let summary = workers.run();
    teller.finish();
    tracing.finish(err);
    let mut summary = summary?;
    summary.ended = hooks.finish(summary.ended, arguments.shutdown_timeout.0, err)?;
    if let Some(json) = &json {
        json.stopped(&summary);
    }
    if !arguments.quiet {
        err.line(last_line(&summary));
    }
    Ok(match summary.ended {
        Ended::Stopped => Exit::Success,
        Ended::Forced(signal) => Exit::Signal(signal),
    })
}
