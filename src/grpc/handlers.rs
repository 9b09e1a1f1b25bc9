//! The service's methods: each takes a message through metadata, convert, delivery and convert, and
//! a failure through the table of errors.

use std::{future::ready, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use tonic::{Request, Response, Status};

use super::{
    Health, Settings,
    bearer::TokenMissing,
    identity::Identified,
    metadata::Incoming,
    status::{About, Context},
};
use crate::{
    chartbrew::{Rejection, types},
    convert::{self, Secrets, Violations},
    delivery::{self, Caller, Delivered, Delivery, Operation},
    proto::{self, ConnectionView, connection_service_server::ConnectionService},
};

/// Deadline of a call whose caller sets none, of every method but Create, which has a setting.
const DEADLINE: Duration = Duration::from_secs(120);

/// The service's handlers.
#[derive(Clone, Debug)]
pub(super) struct Handlers {
    pub(super) settings: Arc<Settings>,
    pub(super) delivery: Delivery,
    pub(super) health: Health,
}

/// A call whose caller may go on.
#[derive(Debug)]
struct Call {
    caller: Caller,
    context: Context,
}

#[tonic::async_trait]
impl ConnectionService for Handlers {
    // Not an `async fn`: that would keep the places of the request and the create while it waits.
    fn create<'a, 'f>(
        &'a self,
        mut request: Request<proto::CreateRequest>,
    ) -> BoxFuture<'f, Result<Response<proto::CreateResponse>, Status>>
    where
        'a: 'f,
    {
        match self.accept(&mut request) {
            Ok((call, create)) => {
                let Call { caller, context } = call;
                let delivery = self.delivery.create(caller, create);
                Box::pin(delivery.map(move |delivered| self.created(context, delivered)))
            }
            Err(status) => Box::pin(ready(Err(status))),
        }
    }

    async fn get(
        &self,
        mut request: Request<proto::GetRequest>,
    ) -> Result<Response<proto::GetResponse>, Status> {
        let message = request.get_ref();
        let about = About::connection(Operation::Get, message.team_id, message.connection_id);
        let call = self.begin(&mut request, about, DEADLINE)?;
        let (connection, view) = call.check(convert::get(request.get_ref()))?;
        let row = self.delivery.get(&call.caller, connection).await;
        let row = self.delivered(&call.context, row)?;
        let connection = convert::connection_in(self.view(view), *row);
        let connection = Some(Box::new(connection));
        Ok(Response::new(proto::GetResponse { connection }))
    }

    async fn list(
        &self,
        mut request: Request<proto::ListRequest>,
    ) -> Result<Response<proto::ListResponse>, Status> {
        let about = About::team(Operation::List, request.get_ref().team_id);
        let call = self.begin(&mut request, about, DEADLINE)?;
        let (team, page, view) = call.check(convert::list(request.get_ref()))?;
        let page = self.delivery.list(&call.caller, team, page).await;
        let page = self.delivered(&call.context, page)?;
        Ok(Response::new(convert::page(self.view(view), team, page)))
    }

    async fn update(
        &self,
        mut request: Request<proto::UpdateRequest>,
    ) -> Result<Response<proto::UpdateResponse>, Status> {
        let message = request.get_ref();
        let about = About::connection(Operation::Update, message.team_id, message.connection_id);
        let call = self.begin(&mut request, about, DEADLINE)?;
        let update = convert::update(request.into_inner(), &self.settings.limits);
        let (connection, changes) = call.check(update)?;
        let row = self.delivery.update(&call.caller, connection, &changes);
        let row = self.delivered(&call.context, row.await)?;
        let connection = convert::connection_in(self.view(ConnectionView::Full), *row);
        let connection = Some(Box::new(connection));
        Ok(Response::new(proto::UpdateResponse { connection }))
    }

    async fn delete(
        &self,
        mut request: Request<proto::DeleteRequest>,
    ) -> Result<Response<proto::DeleteResponse>, Status> {
        let message = request.get_ref();
        let about = About::connection(Operation::Delete, message.team_id, message.connection_id);
        let call = self.begin(&mut request, about, DEADLINE)?;
        let message = request.into_inner();
        let connection = call.check(convert::delete(&message))?;
        let remove_datasets = message.remove_datasets;
        let deleted = self
            .delivery
            .delete(&call.caller, connection, remove_datasets);
        self.delivered(&call.context, deleted.await)?;
        Ok(Response::new(proto::DeleteResponse {}))
    }

    async fn test(
        &self,
        mut request: Request<proto::TestRequest>,
    ) -> Result<Response<proto::TestResponse>, Status> {
        let message = request.get_ref();
        let about = About::connection(Operation::Test, message.team_id, message.connection_id);
        let call = self.begin(&mut request, about, DEADLINE)?;
        let connection = call.check(convert::test(request.get_ref()))?;
        let tested = self.delivery.test(&call.caller, connection).await;
        let (tested, row) = self.delivered(&call.context, tested)?;
        let row = row.unwrap_or_default();
        let secrets = Secrets::of_row(&row, call.caller.token.text());
        Ok(Response::new(convert::tested(tested, &secrets)))
    }

    async fn test_new(
        &self,
        mut request: Request<proto::TestNewRequest>,
    ) -> Result<Response<proto::TestNewResponse>, Status> {
        let about = About::team(Operation::TestNew, request.get_ref().team_id);
        let call = self.begin(&mut request, about, DEADLINE)?;
        let test = convert::test_new(request.into_inner(), &self.settings.limits);
        let test = call.check(test)?;
        let tested = self.delivery.test_new(&call.caller, &test).await;
        let tested = self.delivered(&call.context, tested)?;
        let token = call.caller.token.text();
        let secrets = Secrets::of_settings(&test.settings, &test.files, token);
        let proto::TestResponse {
            success,
            message,
            details,
        } = convert::tested(tested, &secrets);
        Ok(Response::new(proto::TestNewResponse {
            success,
            message,
            details,
        }))
    }

    async fn upload_files(
        &self,
        mut request: Request<proto::UploadFilesRequest>,
    ) -> Result<Response<proto::UploadFilesResponse>, Status> {
        let message = request.get_ref();
        let (team_id, connection_id) = (message.team_id, message.connection_id);
        let about = About::connection(Operation::UploadFiles, team_id, connection_id);
        let call = self.begin(&mut request, about, DEADLINE)?;
        let upload = convert::upload_files(request.into_inner(), &self.settings.limits);
        let (connection, files) = call.check(upload)?;
        let row = self.delivery.upload(&call.caller, connection, files).await;
        let row = self.delivered(&call.context, row)?;
        let connection = convert::connection_in(self.view(ConnectionView::Basic), *row);
        let connection = Some(Box::new(connection));
        Ok(Response::new(proto::UploadFilesResponse { connection }))
    }
}

// === impl Handlers ===

impl Handlers {
    /// Reads what is to be created, and for whom.
    fn accept(
        &self,
        request: &mut Request<proto::CreateRequest>,
    ) -> Result<(Call, types::Create), Status> {
        let about = About::team(Operation::Create, request.get_ref().team_id);
        let mut call = self.begin(request, about, self.settings.create_deadline)?;
        let message = std::mem::take(request.get_mut());
        let create = call.check(convert::create(message, &self.settings.limits))?;
        call.context.request_id = create.request_id;
        Ok((call, create))
    }

    /// The response to a create.
    fn created(
        &self,
        mut context: Context,
        delivered: Delivered,
    ) -> Result<Response<proto::CreateResponse>, Status> {
        if self.health.is_stopping() && !self.delivery.ids_outlive_process() {
            context.forgets_ids = context.request_id.take().is_some();
        }
        context.record.delivered(delivered.origin);
        let row = self.delivered(&context, delivered.result)?;
        let connection = convert::connection_in(self.view(ConnectionView::Full), *row);
        let connection = Some(Box::new(connection));
        Ok(Response::new(proto::CreateResponse { connection }))
    }

    /// What a response shows of a connection: every one comes by here.
    fn view(&self, asked: ConnectionView) -> ConnectionView {
        match self.settings.redact_responses {
            true => ConnectionView::Basic,
            false => asked,
        }
    }

    /// What comes before the message is looked at.
    fn begin<T>(
        &self,
        request: &mut Request<T>,
        about: About,
        deadline: Duration,
    ) -> Result<Call, Status> {
        let incoming = Incoming::read(request);
        let context = Context {
            about: Some(about),
            own_token: self.settings.own_token.is_some(),
            ..Context::new(&incoming.received.record)
        };
        let Identified { token, caller } = &incoming.received.identified;
        if let Some(caller) = caller
            && !caller.may_use_team(about.team_id)
        {
            return Err(context.team_not_allowed());
        }
        let token = token.clone();
        let token = token.ok_or_else(|| context.refused(&TokenMissing::Absent.into()))?;
        Ok(Call {
            caller: incoming.caller(token, deadline),
            context,
        })
    }

    /// The result of a call, or its failure as a status.
    fn delivered<T>(
        &self,
        context: &Context,
        result: Result<T, delivery::Error>,
    ) -> Result<T, Status> {
        // A gateway whose own token is rejected can serve nobody.
        if self.settings.own_token.is_some() && result.as_ref().is_err_and(is_token_rejected) {
            self.health.token_rejected();
        }
        result.map_err(|error| context.delivery(&error))
    }
}

// === impl Call ===

impl Call {
    /// What was asked for, or all that is wrong with it as a status.
    fn check<T>(&self, checked: Result<T, Violations>) -> Result<T, Status> {
        checked.map_err(|violations| self.context.violations(&violations))
    }
}

/// Whether Chartbrew rejected the token, be it after the connection was created.
fn is_token_rejected(error: &delivery::Error) -> bool {
    use delivery::Error::{FilesNotUploaded, NotReadable, PartlyUploaded, Rejected};
    match error {
        Rejected(rejection) => *rejection == Rejection::TokenRejected,
        FilesNotUploaded { cause, .. } | PartlyUploaded { cause } | NotReadable { cause, .. } => {
            is_token_rejected(cause)
        }
        _ => false,
    }
}
