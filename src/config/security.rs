//! What settings must say together, so that nobody gets in who should not.

use super::Problems;
use crate::{app, callers::Callers, chartbrew, grpc, reload::FileProblem};

/// Adds all that is wrong.
pub(super) fn check(app: &app::Settings, problems: &mut Problems) {
    upstream(&app.chartbrew, problems);
    let grpc = &app.grpc;
    access(grpc, problems);
    if grpc.own_token.is_some() && !app.listen.ip().is_loopback() {
        beyond_loopback(grpc, problems);
    }
}

/// What is sent to Chartbrew has tokens and passwords in it.
fn upstream(settings: &chartbrew::Settings, problems: &mut Problems) {
    if let Err(problem) = chartbrew::check_plaintext(settings) {
        problems.add("CHARTBREW_URL", problem);
    }
    for problem in settings.tls.check() {
        problems.add(problem.variable, problem.problem);
    }
}

/// Who may call, and the files of TLS.
fn access(grpc: &grpc::Settings, problems: &mut Problems) {
    let with_certificates = grpc.tls.needs_client_certificates();
    let tls = grpc.tls.check();
    let callers = match &grpc.callers_file {
        None => Ok(()),
        // Unless it is set and cannot be used, which is a problem already.
        Some(_) if grpc.own_token.is_none() && !problems.have("CHARTBREW_TOKEN") => {
            Err(FileProblem::new(
                "GATEWAY_CALLERS_FILE",
                "is for a gateway with a token of its own: set CHARTBREW_TOKEN_FILE or CHARTBREW_TOKEN",
            ))
        }
        Some(path) => Callers::check(path.clone(), with_certificates),
    };
    for problem in [tls, callers].into_iter().filter_map(Result::err) {
        problems.add(problem.variable, problem.problem);
    }
}

/// A gateway with a token of its own that other machines can reach.
fn beyond_loopback(grpc: &grpc::Settings, problems: &mut Problems) {
    let anybody = grpc.callers_file.is_none() && grpc.tls.client_names.is_empty();
    let in_clear = !grpc.tls.is_on() && !grpc.allow_plaintext;
    let wrong = [
        anybody.then_some(
            "every caller would act with the gateway's own token: set GATEWAY_CALLERS_FILE, or \
             GATEWAY_TLS_CLIENT_CA and GATEWAY_TLS_CLIENT_NAMES, to say who may call",
        ),
        in_clear.then_some(
            "callers' tokens would arrive in clear: set GATEWAY_TLS_CERT and GATEWAY_TLS_KEY, or \
             GATEWAY_ALLOW_PLAINTEXT=true if a mesh encrypts them",
        ),
    ];
    let wrong: Vec<_> = wrong.into_iter().flatten().collect();
    if !wrong.is_empty() {
        let problem = format!("is not a loopback address, and {}", wrong.join("; and "));
        problems.add("GATEWAY_LISTEN", problem);
    }
}
