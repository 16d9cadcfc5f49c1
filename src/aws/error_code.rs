//! The error code of a response that the SDK has not parsed yet. Interceptors and retry classifiers need it that early.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use serde_json::Value;

/// The code of an error in AWS's JSON protocols: a header, else a field of the body, without the namespace before `#` and
/// without what follows a `:`. In the XML of STS: the element `Code`.
pub(super) fn error_code(response: &HttpResponse) -> Option<String> {
    let from_header = response.headers().get("x-amzn-errortype").map(str::to_owned);
    let from_body = || {
        let bytes = response.body().bytes()?;
        if let Some((_, rest)) = str::from_utf8(bytes).ok()?.split_once("<Code>") {
            return rest.split_once("</Code>").map(|(code, _)| code.to_owned());
        }
        let body: Value = serde_json::from_slice(bytes).ok()?;
        let code = body.get("__type").or_else(|| body.get("code"))?.as_str()?;
        Some(code.to_owned())
    };
    let full = from_header.or_else(from_body)?;
    let code = full.rsplit('#').next().unwrap_or_default();
    code.split(':').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_types::body::SdkBody;

    fn response(body: &'static str) -> HttpResponse {
        HttpResponse::new(400.try_into().unwrap(), SdkBody::from(body))
    }

    #[test]
    fn a_code_is_found_wherever_aws_writes_it() {
        for body in [
            r#"{"__type":"com.amazonaws.kinesis.v20131202#ExpiredTokenException","message":"x"}"#,
            r#"{"__type":"ExpiredTokenException"}"#,
            r#"{"code":"ExpiredTokenException:http://internal"}"#,
        ] {
            assert_eq!(error_code(&response(body)).as_deref(), Some("ExpiredTokenException"), "{body}");
        }
        let of_sts = "<ErrorResponse><Error><Type>Sender</Type><Code>RequestExpired</Code></Error></ErrorResponse>";
        assert_eq!(error_code(&response(of_sts)).as_deref(), Some("RequestExpired"));
        assert_eq!(error_code(&response("<html>")), None);
        let mut headed = response("");
        headed.headers_mut().insert("x-amzn-errortype", "ExpiredToken:http://x");
        assert_eq!(error_code(&headed).as_deref(), Some("ExpiredToken"));
    }
}
